"""Verb `pretrain launch`: dry run, the configuration that it freezes, and a real run of two processes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.pretrain.conftest import write_corpus_in
from tokensieve.jobs.cli import app
from tokensieve.jobs.config.corpus import load_config
from tokensieve.pretrain.shards.manifest import Manifest

# Rows that count upwards: 80 documents of 21 tokens, 104 samples of 16.
COUNTING = [([*((start + i) % 50 + 1 for i in range(20)), 0], [1] * 5 + [0] * 5 + [1] * 11) for start in range(80)]


@pytest.fixture
def project(tmp_path) -> Path:
    """The YAML of a project whose shards are written."""
    (tmp_path / "tables" / "shards").mkdir(parents=True)
    write_corpus_in(tmp_path / "tables" / "shards", [COUNTING])
    file = tmp_path / "project.yaml"
    file.write_text(
        f"source: {{path: {tmp_path}/source}}\n"
        f"tables: {{root: {tmp_path}/tables}}\n"
        "policies: {medicine: {definition: medicine, bundle: medicine-tiny}}\n"
        "pretrain:\n"
        "  {seq_length: 16, micro_batch_size: 2, global_batch_size: 4, steps: 3,\n"
        "   model: {layers: 2, hidden_size: 32, heads: 4}}\n"
        "launch: {cpu_processes: 2}\n"
        "spark: {conf: {spark.site.setting: tell-nobody}}\n"
    )
    return file


def call(*words: str):
    return CliRunner().invoke(app, ["pretrain", "launch", *words])


def test_dry_run_prints_plan_files_and_command_and_writes_nothing(project):
    done = call("--config", str(project), "pretrain.seed=3")
    assert done.exit_code == 0, done.output
    folder = project.parent / "tables" / "pretrain"
    for part in (
        "steps             3",
        f"==> {folder}/launch/run.sh <==",
        "seed: 3",
        f"command           bash {folder}/",
    ):
        assert part in done.output
    assert "nothing was written or started; add --submit" in done.output
    assert not folder.exists()


def test_frozen_configuration_is_the_resolved_one_without_what_training_does_not_read(project, tmp_path, monkeypatch):
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/usr/bin/env bash\n")
    stand_in.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    overrides = ["pretrain.out=runs/one", "pretrain.preset=smoke", "pretrain.seed=5", f"launch.python={stand_in}"]
    done = call("--config", str(project), "--submit", "--json", *overrides)
    assert done.exit_code == 0, done.output
    frozen = tmp_path / "runs" / "one" / "launch" / "config.yaml"
    assert str(frozen) in json.loads(done.stdout)["files"]
    asked, read = load_config(str(project), overrides).pretrain, load_config(str(frozen)).pretrain
    assert asked is not None
    shards = tmp_path / "tables" / "shards"
    places = {
        "out": f"{tmp_path}/runs/one",
        "shards": str(shards),
        "preset": None,
        "manifest": Manifest.load(shards).id,
    }
    assert read == asked.model_copy(update=places)
    assert "tell-nobody" not in frozen.read_text()


def test_two_processes_train_under_torchrun(project):
    done = call("--config", str(project), "--submit")
    assert done.exit_code == 0, done.output
    folder = project.parent / "tables" / "pretrain"
    result = json.loads((folder / "train.json").read_text())
    assert (result["steps"], result["tokens"]) == (3, 192)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("launch.cpu_processes=3", "global_batch_size 4 is not a multiple of micro_batch_size 2 x 3 processes"),
        ("launch.nodes=2", "2 nodes need a section slurm"),
        ("launch.gpus_per_nod=1", "did you mean launch.gpus_per_node?"),
        ("pretrain.device=cuda", "pretrain.device is cuda, but launch.gpus_per_node is 0"),
    ],
)
def test_launch_that_cannot_work_ends_with_2_and_one_message(project, override, message):
    done = call("--config", str(project), override)
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
