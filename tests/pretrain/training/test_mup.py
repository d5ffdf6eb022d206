"""Maximal update parametrisation on real Megatron models: scales, and the coordinate check over widths."""

from typing import Any

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

import torch

from tests.megatron_cpu import Trainer, built, causal_mask, logits, megatron_on_cpu, positions
from tokensieve.pretrain.training.config import OptimizerConfig
from tokensieve.pretrain.training.model_config import ModelConfig

WIDTHS = (32, 64, 128, 256)
LAYERS = ("layer 0", "layer 1", "logits")
IDS_BT1 = torch.randint(0, 64, (4, 17), generator=torch.Generator().manual_seed(0))


def config(width: int = 32, **changes) -> ModelConfig:
    return ModelConfig.model_validate({"layers": 2, "hidden_size": width, "heads": width // 16, **changes})


def moved_after_training(width: int, mup: dict | None) -> list[float]:
    """Root mean square change of each layer's output over four updates at the rate 1e-2."""
    with megatron_on_cpu():
        rates = OptimizerConfig(lr=1e-2, warmup_fraction=0, min_lr_ratio=1, weight_decay=0)
        trainer = Trainer(config(width, mup=mup), rates, steps=10)
        before = activations(trainer)
        for _ in range(4):
            trainer.step(IDS_BT1)
        after = activations(trainer)
    return [float((after[name] - before[name]).square().mean().sqrt()) for name in LAYERS]


def activations(trainer: Trainer) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    def keep(name: str, made: Any) -> None:
        found[name] = made[0].clone()

    hooks = [
        layer.register_forward_hook(lambda _, given, made, name=name: keep(name, made))
        for name, layer in zip(LAYERS, trainer.module.decoder.layers)
    ]
    found["logits"] = logits(trainer.module, IDS_BT1[:, :-1])
    for hook in hooks:
        hook.remove()
    return found


def test_coordinate_check_with_mup_every_layer_moves_alike_at_all_widths():
    moved = torch.tensor([moved_after_training(width, {"base_width": 32}) for width in WIDTHS])
    assert (moved.amax(dim=0) / moved.amin(dim=0)).tolist() == pytest.approx([1.0, 1.0, 1.0], abs=0.25)


def test_coordinate_check_without_mup_wider_layers_move_more():
    moved = torch.tensor([moved_after_training(width, None) for width in WIDTHS])
    assert bool((moved[1:] > 1.3 * moved[:-1]).all())
    assert bool((moved[-1] > torch.tensor([100.0, 100.0, 4.0]) * moved[0]).all())


def test_logits_are_divided_by_m_with_and_without_labels():
    with megatron_on_cpu():
        tied = built(config(64, mup={"base_width": 16}))
        ids_BT = IDS_BT1[:, :-1]
        hidden_TBD = hidden_states(tied, ids_BT)
        plain_BTV = (hidden_TBD @ tied.embedding.word_embeddings.weight.T).transpose(0, 1)
        scaled_BTV = logits(tied, ids_BT)
        labels_BT = IDS_BT1[:, 1:].contiguous()
        losses_BT = tied(ids_BT, positions(ids_BT), causal_mask(16), labels=labels_BT)
    torch.testing.assert_close(scaled_BTV, plain_BTV / 4)
    expected_BT = torch.nn.functional.cross_entropy(scaled_BTV.transpose(1, 2), labels_BT, reduction="none")
    torch.testing.assert_close(losses_BT, expected_BT)


def hidden_states(module, ids_BT: torch.Tensor) -> torch.Tensor:
    """(T, B, D) after the final norm."""
    found: list[torch.Tensor] = []
    hook = module.decoder.register_forward_hook(lambda module, given, made: found.append(made))
    logits(module, ids_BT)
    hook.remove()
    return found[0]


def score_scale(module: Any) -> float:
    return module.decoder.layers[0].self_attention.core_attention.softmax_scale


def test_attention_scores_and_first_weights_follow_the_width():
    with megatron_on_cpu():
        module = built(config(256, mup={"base_width": 64}, family="llama", tie_embeddings=False))
    assert score_scale(module) == 1 / 16
    weights = {name: float(weight.detach().std()) for name, weight in module.named_parameters()}
    assert weights["decoder.layers.0.self_attention.linear_qkv.weight"] == pytest.approx(0.02 / 2, rel=0.03)
    assert weights["decoder.layers.0.mlp.linear_fc2.weight"] == pytest.approx(0.02 / 2 / 2, rel=0.03)  # and two layers
    assert weights["embedding.word_embeddings.weight"] == pytest.approx(0.02, rel=0.03)
    assert weights["output_layer.weight"] == pytest.approx(0.02, rel=0.03)


def test_at_the_base_width_mup_differs_by_its_attention_scale_alone():
    with megatron_on_cpu():
        with_mup, without = (built(config(32, mup=mup)) for mup in ({"base_width": 32}, None))
    shared = [(name, tuple(weight.shape)) for name, weight in with_mup.named_parameters()]
    assert shared == [(name, tuple(weight.shape)) for name, weight in without.named_parameters()]
    assert not with_mup.output_layer._forward_pre_hooks
    assert score_scale(with_mup) == 1 / 16
    assert score_scale(without) == 1 / 4
