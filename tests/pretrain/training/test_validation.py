"""Losses on forget and retain labels: during a run, of its checkpoints, and of several runs side by side."""

import json
import math

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

from tests.small_runs import COUNTING, FORGET_SHARE, small_run
from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.evaluate.checkpoint_losses import evaluate
from tokensieve.pretrain.evaluate.compare_runs import compare
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.records import StepRecord, ValidationRecord
from tokensieve.pretrain.training.train import train


def config(**changes) -> PretrainConfig:
    base = {"micro_batch_size": 3, "global_batch_size": 6, "optimizer": {"lr": 0.02}}
    return small_run(**base | {"validation": {"every": 6, "samples": 40}} | changes)


@pytest.fixture
def shards(write_corpus):
    return write_corpus(COUNTING, COUNTING[::2], splits=["train", "valid"])


def records(out) -> list[dict]:
    return [json.loads(line) for line in (out / "validation.jsonl").read_text().splitlines()]


def test_forget_and_retain_labels_of_the_split_valid_are_measured_and_together_are_all_labels(shards, tmp_path):
    seen: list[ValidationRecord] = []
    sets = {"forget": {"labels": "forget"}, "retain": {"labels": "retain"}, "all": {"labels": "all"}}
    result = train(
        config(validation={"every": 6, "samples": 40, "sets": sets}),
        shards,
        tmp_path / "out",
        lambda one: None if isinstance(one, StepRecord) else seen.append(one),
    )
    found = records(tmp_path / "out")
    assert [(one["step"], one["set"]) for one in found] == [
        (step, name) for step in (6, 12) for name in ("forget", "retain", "all")
    ]
    assert len(seen) == 6
    forget, retain, every = result.validation
    assert every.labels == 40 * 16 == forget.labels + retain.labels
    assert forget.labels == pytest.approx(every.labels * FORGET_SHARE, rel=0.1)
    assert forget.loss is not None
    assert retain.loss is not None
    assert every.loss == pytest.approx((forget.loss * forget.labels + retain.loss * retain.labels) / every.labels)
    assert retain.loss < math.log(64)


def test_a_set_is_measured_on_the_same_samples_whatever_the_run(shards, tmp_path):
    losses = {}
    for name, changes in {
        "one": {"micro_batch_size": 1},
        "three": {"micro_batch_size": 3},
        "seed": {"seed": 3},
    }.items():
        train(config(steps=1, optimizer={"lr": 1e-12}, **changes), shards, tmp_path / name)
        losses[name] = {one["set"]: (one["loss"], one["labels"]) for one in records(tmp_path / name)}
    assert losses["one"]["forget"] == (
        pytest.approx(losses["three"]["forget"][0], rel=1e-6),
        losses["three"]["forget"][1],
    )
    assert losses["seed"]["forget"][1] == losses["one"]["forget"][1]  # the same labels, other weights


def test_hiding_does_not_change_the_text_that_is_measured(shards, tmp_path):
    for mode in ("mask", "hide"):
        train(config(steps=1, optimizer={"lr": 1e-12}, filter={"mode": mode}), shards, tmp_path / mode)
    for here, there in zip(records(tmp_path / "mask"), records(tmp_path / "hide"), strict=True):
        assert here == {**there, "loss": pytest.approx(there["loss"], rel=1e-6)}


def test_without_a_split_valid_and_without_sets_nothing_is_measured(write_corpus, tmp_path):
    assert train(config(), write_corpus(COUNTING), tmp_path / "out").validation == ()


def test_masked_training_learns_less_of_the_forget_labels_and_the_runs_stand_side_by_side(shards, tmp_path):
    for mode in ("none", "mask"):
        train(config(steps=60, filter={"mode": mode}, epochs_allowed=20), shards, tmp_path / mode)
    table = compare([tmp_path / "none", tmp_path / "mask"])
    none, mask = table.rows
    assert none.losses["forget"] is not None
    assert mask.losses["forget"] is not None
    assert mask.losses["forget"] > none.losses["forget"] + 0.1
    lines = table.lines()
    assert lines[0].split() == ["run", "steps", "tokens", "loss-bearing", "forget", "retain"]
    assert lines[1].split() == [
        "none", "60", "5,760", "5,760", f"{none.losses['forget']:.4f}", f"{none.losses['retain']:.4f}",
    ]  # fmt: skip


def test_losses_on_other_labels_do_not_stand_in_one_column(shards, write_corpus, tmp_path):
    train(config(), shards, tmp_path / "one")
    other = write_corpus(COUNTING, COUNTING[::3], splits=["train", "valid"], name="other")
    train(config(), other, tmp_path / "two")
    with pytest.raises(TrainingError, match=r"two: set forget is \d+ labels of [0-9a-f]{16}/valid, in .*one it is"):
        compare([tmp_path / "one", tmp_path / "two"])
    with pytest.raises(TrainingError, match=r"nothing/train\.json: no finished run here"):
        compare([tmp_path / "nothing"])


def test_every_checkpoint_and_the_final_weights_are_measured(shards, tmp_path):
    settings, out = config(checkpoint={"every": 6, "keep_last": 5}), tmp_path / "out"
    train(settings, shards, out)
    table = evaluate(settings, shards, out)
    assert [(row.name, row.steps) for row in table.rows] == [("step-00000006", 6), ("step-00000012", 12), ("final", 12)]
    for step, row in ((6, table.rows[0]), (12, table.rows[1]), (12, table.rows[2])):
        during = {one["set"]: one["loss"] for one in records(out) if one["step"] == step}
        assert row.losses == {name: pytest.approx(loss, rel=1e-6) for name, loss in during.items()}
    assert [row["name"] for row in json.loads((out / "evaluation.json").read_text())] == [
        row.name for row in table.rows
    ]


def test_evaluation_without_anything_to_measure_is_refused(shards, write_corpus, tmp_path):
    with pytest.raises(TrainingError, match="neither a complete checkpoint nor a finished run"):
        evaluate(config(), shards, tmp_path / "nothing")
    plain = write_corpus(COUNTING, name="plain")
    train(config(), plain, tmp_path / "out")
    with pytest.raises(TrainingError, match=r"no split `valid` and no pretrain\.validation\.sets"):
        evaluate(config(), plain, tmp_path / "out")


def test_tensorboard_gets_what_the_log_has(shards, tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    train(config(tensorboard=True), shards, tmp_path / "out")
    board = accumulator.EventAccumulator(str(tmp_path / "out" / "tensorboard")).Reload()
    logged = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [event.value for event in board.Scalars("train/loss")] == [
        pytest.approx(line["loss"], rel=1e-6) for line in logged
    ]
    assert [event.step for event in board.Scalars("validation/forget")] == [6, 12]
