"""Learning rates, warm-up and decay of every parameter group of Megatron's optimizer."""

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

import torch

from tests.megatron_cpu import Trainer, megatron_on_cpu
from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.training.config import OptimizerConfig, ParallelConfig
from tokensieve.pretrain.training.model_config import ModelConfig
from tokensieve.pretrain.training.optimizer import build_optimizer

SETTINGS = OptimizerConfig(lr=0.01, weight_decay=0.1, warmup_fraction=0.2, min_lr_ratio=0.1)


def config(**changes) -> ModelConfig:
    return ModelConfig.model_validate({"layers": 1, "hidden_size": 64, "heads": 4, **changes})


def groups(trainer: Trainer) -> dict[str, tuple[float, float]]:
    """Rate and weight decay of every parameter, by its short name."""
    names = {id(parameter): name for name, parameter in trainer.module.named_parameters()}
    return {
        names[id(parameter)].removeprefix("decoder.layers.0."): (group["lr"], group["weight_decay"])
        for group in trainer.optimizer.param_groups
        for parameter in group["params"]
    }


def test_with_mup_hidden_matrices_learn_at_lr_over_m_and_all_others_at_lr():
    model = config(mup={"base_width": 16}, family="llama", tie_embeddings=False)
    with megatron_on_cpu():
        trainer = Trainer(model, SETTINGS, steps=10)
        trainer.scheduler.step(increment=2)  # past the warm-up
        found = groups(trainer)
    assert found == {
        "embedding.word_embeddings.weight": (0.01, 0.1),
        "output_layer.weight": (0.01, 0.1),
        "input_layernorm.weight": (0.01, 0.0),
        "pre_mlp_layernorm.weight": (0.01, 0.0),
        "decoder.final_layernorm.weight": (0.01, 0.0),
        "self_attention.linear_qkv.weight": (0.0025, 0.1),
        "self_attention.linear_proj.weight": (0.0025, 0.1),
        "mlp.linear_fc1.weight": (0.0025, 0.1),
        "mlp.linear_fc2.weight": (0.0025, 0.1),
    }


def test_without_mup_all_learn_alike_and_only_norms_are_not_decayed():
    with megatron_on_cpu():
        trainer = Trainer(config(), SETTINGS, steps=10)
        found = groups(trainer)
    assert {rate for rate, _ in found.values()} == {0.005}
    assert {name for name, (_, decay) in found.items() if decay == 0} == {
        "input_layernorm.weight",
        "pre_mlp_layernorm.weight",
        "decoder.final_layernorm.weight",
    }


def test_every_group_follows_one_curve_from_the_first_step_to_the_minimum_and_stays_there():
    with megatron_on_cpu():
        trainer = Trainer(config(mup={"base_width": 16}), SETTINGS, steps=10)
        rates = []
        for _ in range(13):
            found = groups(trainer)
            rates.append((found["embedding.word_embeddings.weight"][0], found["mlp.linear_fc1.weight"][0]))
            trainer.scheduler.step(increment=1)
    embedding = [rate for rate, _ in rates]
    assert embedding[:3] == pytest.approx([0.005, 0.0075, 0.01])
    assert embedding[6] == pytest.approx(0.0055)  # half of the cosine
    assert embedding[10:] == pytest.approx([0.001] * 3)
    assert [hidden * 4 for _, hidden in rates] == pytest.approx(embedding)


def test_the_rates_reach_the_weights():
    ids_BT1 = torch.randint(0, 64, (2, 17), generator=torch.Generator().manual_seed(0))
    still = OptimizerConfig(lr=0.01, warmup_fraction=0, weight_decay=0)
    moved = {}
    for base in (64, 16):
        with megatron_on_cpu():
            trainer = Trainer(config(mup={"base_width": base}), still, steps=10)
            before = {name: weight.detach().clone() for name, weight in trainer.module.named_parameters()}
            trainer.step(ids_BT1)
            after = dict(trainer.module.named_parameters())
            moved[base] = {name: float((after[name] - before[name]).detach().abs().max()) for name in before}
    # Adam's first update is the rate, whatever the gradient.
    assert moved[64]["decoder.layers.0.mlp.linear_fc1.weight"] == pytest.approx(0.01, rel=0.01)
    assert moved[16]["decoder.layers.0.mlp.linear_fc1.weight"] == pytest.approx(0.0025, rel=0.01)
    assert moved[16]["embedding.word_embeddings.weight"] == pytest.approx(0.01, rel=0.01)


def test_a_distributed_optimizer_without_fused_adam_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr("tokensieve.pretrain.training.optimizer.find_spec", lambda name: None)
    parallel = ParallelConfig(distributed_optimizer=True)
    with pytest.raises(TrainingError, match="needs Transformer Engine or Apex, and neither is installed"):
        build_optimizer(config(), SETTINGS, [], torch.float32, parallel)
