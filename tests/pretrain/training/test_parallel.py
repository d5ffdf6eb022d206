"""The same run on one process and on two, cut in every direction; stopped on one and continued on two, and back."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

from safetensors.torch import load_file

from tests.small_runs import COUNTING, SMALL
from tests.training_processes import job, run
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.train import train

SETTINGS = SMALL | {
    "micro_batch_size": 1,
    "model": {"layers": 2, "hidden_size": 32, "heads": 4},
    "optimizer": {"lr": 0.01},
    "steps": 8,
    "checkpoint": {"every": 4},
}
TENSOR, PIPELINE = {"parallel": {"tensor": 2}}, {"parallel": {"pipeline": 2}}
GATED = {"model": {"family": "llama", "layers": 2, "hidden_size": 32, "heads": 4, "kv_heads": 2}}


def metrics(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def stopped_at_4(whole: Path, copy: Path) -> Path:
    """A copy of a run as it would be if it had been killed after its first checkpoint."""
    shutil.copytree(whole, copy)
    (copy / "train.json").unlink()
    shutil.rmtree(copy / "checkpoints" / "step-00000008")
    return copy


def assert_same_run(one: Path, other: Path) -> None:
    for here, there in zip(metrics(one), metrics(other), strict=True):
        assert there["batch"] == here["batch"]  # 4 samples of 16 ids a step: 512 ids in 8 steps
        assert (there["step"], there["loss_tokens"], there["lr"]) == (here["step"], here["loss_tokens"], here["lr"])
        assert there["loss"] == pytest.approx(here["loss"], rel=1e-5)
        # Megatron's DDP divides by the number of processes when per-token loss is set too late; Adam would hide it.
        assert there["grad_norm"] == pytest.approx(here["grad_norm"], rel=1e-4)
    weights, others = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        assert (weight - others[name]).abs().max() < 1e-4, name


@pytest.mark.slow
def test_cut_in_any_direction_and_resumed_at_any_size_the_run_stays_the_same(write_corpus, tmp_path):
    shards = write_corpus(COUNTING, COUNTING[:30], splits=["train", "valid"])
    one, gated = tmp_path / "one", tmp_path / "gated"
    train(PretrainConfig.model_validate(SETTINGS), shards, one)
    train(PretrainConfig.model_validate(SETTINGS | GATED), shards, gated)
    fresh = {"data": {}, "tensor": TENSOR, "pipeline": PIPELINE}
    jobs = [job(SETTINGS | cut, shards, tmp_path / name) for name, cut in fresh.items()]
    jobs += [job(SETTINGS | GATED | TENSOR, shards, tmp_path / "gated-tensor")]
    for name, cut in fresh.items():
        continued = stopped_at_4(one, tmp_path / f"one-then-{name}")
        jobs += [job(SETTINGS | cut, shards, continued, resume=True)]
    run(jobs, tmp_path, processes=2)
    for name in fresh:
        assert_same_run(one, tmp_path / name)
        assert_same_run(one, tmp_path / f"one-then-{name}")
        assert (tmp_path / name / "validation.jsonl").read_text().count("\n") == 2
    assert_same_run(gated, tmp_path / "gated-tensor")
    for name in ("tensor", "pipeline"):
        back = stopped_at_4(tmp_path / name, tmp_path / f"{name}-then-one")
        train(PretrainConfig.model_validate(SETTINGS), shards, back, resume=True)
        assert_same_run(one, back)
    starts = [json.loads(line) for line in (tmp_path / "one-then-tensor" / "processes.jsonl").read_text().splitlines()]
    assert [(start["first_step"], start["processes"], start["tensor"]) for start in starts] == [(0, 1, 1), (4, 2, 2)]
