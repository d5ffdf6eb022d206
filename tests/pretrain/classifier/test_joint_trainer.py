"""Training of encoder and head together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tokensieve.pretrain.classifier import joint_trainer
from tokensieve.pretrain.classifier.joint_trainer import TrainConfig, rounded, train
from tokensieve.pretrain.classifier.spliced_rows import Rows
from tokensieve.udfs.encoders.encoder import build

SHAPE = {"type": "sliding", "vocab_size": 20, "dim": 8, "layers": 1, "heads": 2, "hidden": 16, "reach": 4}
CONFIG = TrainConfig(steps=3, learning_rate=1e-2, warmup=0.0)


def _rows(step: int) -> Rows:
    rng = np.random.default_rng(step)
    ids_T = rng.integers(0, 20, 32)
    return Rows(
        ids_T=ids_T,
        targets_T=(ids_T < 10).astype(np.float32),
        known_T=np.ones(32, dtype=bool),
        bounds_R1=np.array([0, 16, 32]),
    )


def _encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    return build(dict(SHAPE))


def _trained(batch=_rows, config=CONFIG, **options) -> tuple[torch.nn.Module, torch.nn.Linear]:
    encoder = _encoder()
    return encoder, train(encoder, config, batch, report=lambda line: None, **options)


def _same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_training_repeats_itself_and_ends_in_half_precision():
    (encoder, head), (again, other) = _trained(), _trained()
    assert _same(encoder, again)
    assert _same(head, other)
    assert all(torch.equal(p, p.half().float()) for p in encoder.parameters())
    assert not any(p.requires_grad for p in [*encoder.parameters(), *head.parameters()])


def test_the_targets_of_unknown_tokens_change_nothing():
    def half_known(targets: float):
        def batch(step: int) -> Rows:
            made = _rows(step)
            known_T = np.arange(32) % 2 == 0
            return replace(made, known_T=known_T, targets_T=np.where(known_T, made.targets_T, targets).astype("f4"))

        return batch

    low, high = _trained(half_known(0.0)), _trained(half_known(1.0))
    assert _same(low[0], high[0])
    assert _same(low[1], high[1])
    assert not _same(low[0], _trained()[0])


def test_a_step_without_known_tokens_is_no_reason_to_break():
    encoder, head = _trained(lambda step: replace(_rows(step), known_T=np.zeros(32, dtype=bool)))
    assert head.weight.abs().sum() == 0
    assert all(bool(p.isfinite().all()) for p in encoder.parameters())


def test_the_encoder_has_a_learning_rate_of_its_own():
    still, head = _trained(encoder_rate=1e-12, config=CONFIG.model_copy(update={"weight_decay": 0.0}))
    assert _same(still, rounded(_encoder()))
    assert head.weight.abs().sum() > 0
    assert not _same(_trained(encoder_rate=1e-3)[0], rounded(_encoder()))


def test_loss_and_time_left_are_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(joint_trainer, "REPORT_EVERY", 2)
    lines: list[str] = []
    train(_encoder(), CONFIG, _rows, report=lines.append)
    assert [line.split("  ")[0] for line in lines] == ["step 2/3", "step 3/3"]
    assert "loss 0." in lines[0]
    assert "min left" in lines[0]


def test_soft_targets_are_learned_as_they_are():
    def batch(step: int) -> Rows:
        made = _rows(step)
        return replace(made, targets_T=np.where(made.ids_T < 10, 0.8, 0.1).astype(np.float32))

    encoder, head = _trained(batch, TrainConfig(steps=150, learning_rate=2e-2))
    made = batch(999)
    with torch.inference_mode():
        logits = head(encoder(torch.from_numpy(made.ids_T), torch.from_numpy(made.bounds_R1)))[:, 0]
    assert torch.sigmoid(logits).numpy() == pytest.approx(made.targets_T, abs=0.06)
