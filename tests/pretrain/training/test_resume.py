"""Runs that end early, by SIGTERM or SIGKILL; damaged checkpoints; other settings than a run began with."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

from tests.pretrain.conftest import write_corpus_in
from tests.small_runs import COUNTING, small_run
from tests.training_processes import job, start
from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.training import checkpoint
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.train import train


def config(**changes) -> PretrainConfig:
    return small_run(**{"epochs_allowed": 1000, "checkpoint": {"every": 4}} | changes)


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def batches(out: Path) -> list[str]:
    return [line["batch"] for line in lines(out)]


def wait_for_steps(out: Path, steps: int, process) -> None:
    for _ in range(1200):
        if (out / "metrics.jsonl").is_file() and len((out / "metrics.jsonl").read_text().splitlines()) >= steps:
            return
        assert process.poll() is None, (out.parent / "log").read_text()[-3000:]
        time.sleep(0.05)
    raise AssertionError(f"no {steps} steps after a minute")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards and a run of 12 steps on them, made once."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "shards").mkdir()
    write_corpus_in(folder / "shards", [COUNTING])
    train(config(checkpoint={"every": 4, "keep_last": 3}), folder / "shards", folder / "out")
    return folder


@pytest.fixture
def stopped(whole, tmp_path) -> tuple[Path, Path]:
    """Shards, and a run of 12 steps that lost everything after its checkpoint at step 8."""
    shards, out = tmp_path / "shards", tmp_path / "out"
    shutil.copytree(whole / "shards", shards)
    shutil.copytree(whole / "out", out)
    shutil.copytree(out, tmp_path / "whole")
    (out / "train.json").unlink()
    shutil.rmtree(out / "checkpoints" / "step-00000012")
    return shards, out


def test_resumed_run_reads_the_samples_that_come_next_and_ends_as_the_whole_one(stopped, tmp_path):
    shards, out = stopped
    result = train(config(), shards, out, resume=True)
    whole = tmp_path / "whole"
    assert batches(out) == batches(whole)
    assert [line["loss"] for line in lines(out)] == [line["loss"] for line in lines(whole)]
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    finished = json.loads((whole / "train.json").read_text())
    assert (result.loss_tokens, result.first_loss, result.last_loss) == tuple(
        finished[name] for name in ("loss_tokens", "first_loss", "last_loss")
    )


def test_only_the_last_checkpoints_are_kept(stopped):
    shards, out = stopped
    train(config(checkpoint={"every": 2, "keep_last": 2}), shards, out, resume=True)
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["step-00000010", "step-00000012"]


def test_checkpoint_without_its_marker_is_what_a_killed_save_left_and_is_not_read(stopped):
    shards, out = stopped
    (out / "checkpoints" / "step-00000008" / "complete.json").unlink()
    found = checkpoint.newest(out)
    assert found is not None
    assert found.path.name == "step-00000004"
    train(config(), shards, out, resume=True)
    assert [line["step"] for line in lines(out)] == list(range(12))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda path: (path / "common.pt").unlink(),
            r"common\.pt: no bytes, the checkpoint was written with \d+; delete",
        ),
        (
            lambda path: next(path.glob("*.distcp")).open("ab").write(b"x"),
            r"\.distcp: \d+ bytes, the checkpoint was written with \d+",
        ),
        (lambda path: flip(path / "common.pt"), r"common\.pt: changed since it was written"),
        (lambda path: flip(path / ".metadata"), r"\.metadata: changed since it was written"),
    ],
)
def test_damaged_checkpoint_is_named_with_what_to_do(stopped, damage, message):
    shards, out = stopped
    damage(out / "checkpoints" / "step-00000008")
    with pytest.raises(checkpoint.CheckpointError, match=message):
        train(config(), shards, out, resume=True)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_run_with_other_settings_is_refused_with_both_values(stopped):
    shards, out = stopped
    with pytest.raises(
        TrainingError, match=r"step-00000008 belongs to a run with other settings \(seed: then 0, now 1\)"
    ):
        train(config(seed=1), shards, out, resume=True)


def test_run_on_other_shards_is_refused(stopped, write_corpus):
    _, out = stopped
    other = write_corpus(COUNTING[:70], name="other")
    with pytest.raises(TrainingError, match=r"was trained on corpus [0-9a-f]{16}, the shards are now [0-9a-f]{16}"):
        train(config(), other, out, resume=True)


def test_a_run_goes_on_with_the_manifest_that_it_began_with_though_a_newer_one_stands_there(stopped):
    shards, out = stopped
    old = Manifest.load(shards)
    old.keep(shards)
    new = old.model_copy(update={"inputs": old.inputs.model_copy(update={"seed": 9})})
    new.save(shards)
    with pytest.raises(TrainingError, match=f"was trained on corpus {old.id}, the shards are now {new.id}"):
        train(config(manifest=new.id), shards, out, resume=True)
    assert train(config(), shards, out, resume=True).corpus_id == old.id
    assert json.loads((out / "config.json").read_text())["pretrain"]["manifest"] == old.id
    assert train(config(), shards, out.parent / "fresh").corpus_id == new.id
    assert train(config(manifest=old.id), shards, out.parent / "pinned").corpus_id == old.id


def test_new_run_does_not_overwrite_an_unfinished_one(stopped):
    shards, out = stopped
    with pytest.raises(TrainingError, match="checkpoint of a run that has not ended; go on with `pretrain resume`"):
        train(config(), shards, out)


def test_resuming_a_run_that_has_ended_does_nothing_and_says_its_result(stopped, tmp_path):
    shards, _ = stopped
    whole = tmp_path / "whole"
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    result = train(config(), shards, whole, resume=True)
    assert json.loads((whole / "train.json").read_text())["last_loss"] == result.last_loss
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()} == before
    with pytest.raises(TrainingError, match=r"whole belongs to a run with other settings \(steps: then 12, now 13\)"):
        train(config(steps=13), shards, whole, resume=True)


def test_result_of_another_version_is_replaced_by_a_new_run_and_refused_by_a_resumed_one(stopped, tmp_path):
    shards, _ = stopped
    whole = tmp_path / "whole"
    (whole / "train.json").write_text('{"steps": 12}')
    with pytest.raises(TrainingError, match=r"train\.json: not the result of this version .*train again into"):
        train(config(), shards, whole, resume=True)
    train(config(checkpoint={}), shards, whole)
    assert "validation" in json.loads((whole / "train.json").read_text())


def test_run_killed_between_its_last_checkpoint_and_its_result_ends_without_a_step(stopped, tmp_path):
    shards, _ = stopped
    whole = tmp_path / "whole"
    expected = (whole / "model.safetensors").read_bytes()
    (whole / "train.json").unlink()
    (whole / "model.safetensors").unlink()
    result = train(config(), shards, whole, resume=True)
    assert (result.steps, len(lines(whole))) == (12, 12)
    assert (whole / "model.safetensors").read_bytes() == expected


def test_new_run_over_an_ended_one_keeps_none_of_its_checkpoints(stopped, tmp_path):
    shards, _ = stopped
    whole = tmp_path / "whole"
    train(config(checkpoint={}, seed=1), shards, whole)
    assert checkpoint.newest(whole) is None
    assert (whole / "train.json").is_file()


def test_resume_without_a_checkpoint_starts_the_run(write_corpus, tmp_path):
    result = train(config(checkpoint={}), write_corpus(COUNTING), tmp_path / "out", resume=True)
    assert result.steps == 12
    assert not (tmp_path / "out" / "checkpoints").exists()


@pytest.mark.slow
def test_sigterm_saves_and_exits_and_sigkill_loses_at_most_one_interval(write_corpus, tmp_path):
    shards = write_corpus(COUNTING * 25)
    settings = config(steps=6_000, checkpoint={"every": 20}).model_dump(mode="json")
    out = tmp_path / "out"
    process = start([job(settings, shards, out)], tmp_path, processes=1)
    wait_for_steps(out, 30, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    said = re.search(r"stopped by SIGTERM after step (\d+); .* is complete", (tmp_path / "log").read_text())
    assert said
    done = int(said[1]) + 1
    found = checkpoint.newest(out)
    assert found is not None
    assert found.marker.progress.steps_done == done == len(lines(out))
    before = batches(out)

    process = start([job(settings, shards, out, resume=True)], tmp_path, processes=1)
    wait_for_steps(out, done + 50, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    reached = len(lines(out))
    found = checkpoint.newest(out)
    assert found is not None
    assert reached - 20 <= found.marker.progress.steps_done <= reached
    assert batches(out)[:done] == before

    process = start([job(settings, shards, out, resume=True)], tmp_path, processes=1)
    wait_for_steps(out, found.marker.progress.steps_done + 10, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    steps = [line["step"] for line in lines(out)]
    assert steps == list(range(len(steps)))
