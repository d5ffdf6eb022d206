"""A checkpoint is whole or not there, and gives back weights, moments and step."""

from pathlib import Path

import pytest
import torch

from tests.pretrain.encoder.made import config, run_of
from tokensieve.pretrain.encoder.checkpoint import (
    CheckpointError,
    Progress,
    ResumeError,
    RunIdentity,
    last_checkpoint,
    save_checkpoint,
)
from tokensieve.pretrain.encoder.trainer import adamw, fresh_model
from tokensieve.udfs.encoders.transformer import Transformer


def _run(folder: Path) -> RunIdentity:
    return run_of(config(folder, sources=[{"name": "one", "path": "x", "share": 1}]), "left", [_Named()])  # type: ignore[list-item]


class _Named:
    class record:
        id = "source"


def _trained(run: RunIdentity, steps: int) -> tuple[Transformer, torch.optim.AdamW]:
    model = fresh_model(run)
    optimizer = adamw(model, run.optimizer)
    for _ in range(steps):
        optimizer.zero_grad()
        model.logits(model(torch.arange(8), torch.tensor([0, 8]))[0]).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_weights_moments_and_step_come_back_bit_for_bit(tmp_path: Path):
    run = _run(tmp_path)
    model, optimizer = _trained(run, 3)
    save_checkpoint(tmp_path, run, Progress(step=3, tokens=24, heldout={"one": 1.5}), model, optimizer)
    found = last_checkpoint(tmp_path, report=lambda line: None)
    assert found is not None
    assert found.progress == Progress(step=3, tokens=24, heldout={"one": 1.5})
    other, fresh = _trained(run, 0)
    found.restore(other, fresh)
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two), name
        for key in ("exp_avg", "exp_avg_sq", "step"):
            assert torch.equal(optimizer.state[one][key], fresh.state[two][key]), (name, key)


def test_only_the_last_two_are_kept(tmp_path: Path):
    run = _run(tmp_path)
    model, optimizer = _trained(run, 1)
    for step in (5, 10, 100, 1000):
        save_checkpoint(tmp_path, run, Progress(step=step), model, optimizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000100", "step-00001000"]
    assert all(path.suffix in (".safetensors", ".json") for path in tmp_path.glob("*/*"))


@pytest.mark.parametrize("file", ["state.safetensors", "checkpoint.json"])
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path, file: str):
    run = _run(tmp_path)
    model, optimizer = _trained(run, 1)
    for step in (1, 2):
        save_checkpoint(tmp_path, run, Progress(step=step), model, optimizer)
    damaged = tmp_path / "step-00000002" / file
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"??")
    said: list[str] = []
    found = last_checkpoint(tmp_path, said.append)
    assert found is not None
    assert found.progress.step == 1
    assert "step-00000002 is damaged" in said[0]
    (tmp_path / "step-00000001" / file).unlink()
    with pytest.raises(CheckpointError, match="step-00000001"):
        last_checkpoint(tmp_path, said.append)


def test_a_half_written_checkpoint_is_removed(tmp_path: Path):
    (tmp_path / ".step-00000004.17").mkdir()
    assert last_checkpoint(tmp_path, report=lambda line: None) is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_another_tokenizer_or_rate_is_refused_by_name(tmp_path: Path):
    run = _run(tmp_path)
    other = run.model_copy(
        update={"tokenizer_sha256": "f" * 64, "optimizer": run.optimizer.model_copy(update={"lr": 1})}
    )
    with pytest.raises(
        ResumeError, match=r"here belongs to another run: tokenizer_sha256 was ffff.*, is 0000.*; optim"
    ):
        run.require(other, "here")
    run.require(run, "here")
