"""The model that Megatron builds: counts, positions, activation, first weights, refusals."""

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

import torch
from megatron.core.models.common.embeddings.rope_utils import apply_rotary_pos_emb

from tests.megatron_cpu import built, logits, megatron_on_cpu
from tokensieve.pretrain.convert.names import megatron_shapes
from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.training.config import ParallelConfig
from tokensieve.pretrain.training.model import build_model, squared_relu
from tokensieve.pretrain.training.model_config import ModelConfig

IDS_BT = torch.arange(32).view(2, 16) * 7 % 64


def config(**changes) -> ModelConfig:
    return ModelConfig.model_validate({"layers": 2, "hidden_size": 32, "heads": 4, **changes})


FAMILIES = {
    "paper": config(),
    "llama": config(family="llama"),
    "llama-grouped-untied": config(family="llama", kv_heads=2, ffn_hidden_size=96, tie_embeddings=False),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_module_has_the_configurations_tensors_and_parameters(name):
    with megatron_on_cpu():
        module = built(FAMILIES[name])
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    assert shapes == megatron_shapes(FAMILIES[name], 64)
    assert sum(parameter.numel() for parameter in module.parameters()) == FAMILIES[name].parameters(64)


def test_squared_relu_is_zero_below_zero_and_the_square_above():
    assert squared_relu(torch.tensor([-2.0, 0.0, 0.5, 3.0])).tolist() == [0.0, 0.0, 0.25, 9.0]


def test_without_positions_the_order_of_the_context_does_not_matter_and_with_rope_it_does():
    swapped_BT = IDS_BT[:, [3, 1, 2, 0, *range(4, 16)]]
    last = {}
    for position in ("rope", "none"):
        with megatron_on_cpu():
            module = built(config(layers=1, position=position, init_std=0.2))
            last[position] = [logits(module, ids_BT)[:, -1] for ids_BT in (IDS_BT, swapped_BT)]
    torch.testing.assert_close(last["none"][0], last["none"][1], rtol=0, atol=1e-5)
    assert float((last["rope"][0] - last["rope"][1]).abs().max()) > 1e-2
    assert float((last["rope"][0] - last["none"][0]).abs().max()) > 1e-2


def test_rope_scores_depend_on_the_distance_and_not_on_the_place():
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(8, generator=generator).expand(16, 1, 1, 8) for _ in range(2))
    with megatron_on_cpu():
        module = built(config())
        angles = module.rotary_pos_emb(16)
        query, key = (apply_rotary_pos_emb(part, angles, module.config)[:, 0, 0] for part in (query, key))
    scores_TT = query @ key.T
    torch.testing.assert_close(scores_TT[5, 2], scores_TT[12, 9])
    torch.testing.assert_close(scores_TT[3, 3], scores_TT[15, 15])
    assert abs(float(scores_TT[5, 2] - scores_TT[5, 1])) > 1e-3


def test_rope_turns_the_first_pair_by_one_radian_a_position_and_the_others_by_powers_of_the_base():
    with megatron_on_cpu():
        angles_TD = built(config(rope_base=10_000)).rotary_pos_emb(3)[:, 0, 0]
    assert angles_TD[2].tolist() == pytest.approx([2.0, 0.2, 0.02, 0.002] * 2)


def test_first_weights_follow_the_seed_and_the_name_and_not_the_order_of_building():
    with megatron_on_cpu(seed=7):
        shallow = dict(built(config(layers=1)).named_parameters())
    with megatron_on_cpu(seed=7):
        deep = dict(built(config(layers=1, family="llama")).named_parameters())
    with megatron_on_cpu(seed=8):
        other = dict(built(config(layers=1)).named_parameters())
    same = "embedding.word_embeddings.weight"
    assert torch.equal(shallow[same], deep[same])
    assert not torch.equal(shallow[same], other[same])


def test_first_weights_are_smaller_where_a_layer_writes_to_the_residual_stream():
    with megatron_on_cpu():
        weights = dict(built(config(layers=8, hidden_size=128)).named_parameters())
    deviation = {name.split("layers.")[-1]: float(weight.detach().std()) for name, weight in weights.items()}
    assert deviation["embedding.word_embeddings.weight"] == pytest.approx(0.02, rel=0.03)
    assert deviation["3.self_attention.linear_qkv.weight"] == pytest.approx(0.02, rel=0.03)
    assert deviation["3.mlp.linear_fc1.weight"] == pytest.approx(0.02, rel=0.03)
    assert deviation["3.self_attention.linear_proj.weight"] == pytest.approx(0.02 / 4, rel=0.03)
    assert deviation["3.mlp.linear_fc2.weight"] == pytest.approx(0.02 / 4, rel=0.03)


@pytest.mark.parametrize(
    ("model", "parallel", "expected"),
    [
        (config(heads=1), {"tensor": 2}, "heads 1 is not a multiple of parallel.tensor 2"),
        (config(layers=3), {"pipeline": 2}, "layers 3 is not a multiple of parallel.pipeline 2"),
        (
            config(kernels="transformer_engine"),
            {},
            "model.kernels is transformer_engine, which .*; set it to local|: set",
        ),
    ],
)
def test_a_model_that_cannot_be_built_here_is_refused_with_the_reason(model, parallel, expected):
    if model.kernels == "transformer_engine" and torch.cuda.is_available():
        pytest.skip("a GPU is there")
    settings = ParallelConfig(**parallel)
    with megatron_on_cpu(), pytest.raises(TrainingError, match=expected):
        build_model(model, padded_vocab_size=64, seq_length=16, dtype=torch.float32, parallel=settings)
