"""`tokensieve pretrain encoder` from the command line: counts out, faults with their exit codes."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner

from tests.corpora import write_corpus
from tokensieve.jobs.cli import app


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "texts")
    content = {
        "name": "made",
        "kind": "bilm",
        "out": str(tmp_path / "encoder"),
        "runs": str(tmp_path / "runs"),
        "cache": str(tmp_path / "cache"),
        "threads": 1,
        "device": "cpu",
        "vocabulary": {"size": 280},
        "sources": [{"name": "one", "path": str(tmp_path / "texts" / "*.parquet"), "share": 1.0}],
        "model": {"dim": 8, "layers": 1, "heads": 2, "hidden": 8},
        "batch": {"context": 32, "step_tokens": 64, "microbatch_tokens": 64},
        "budget": {"tokens": 128},
        "optimizer": {"lr": 1e-3},
        "heldout": {"share": 0.2},
    }
    file = tmp_path / "recipe.yaml"
    file.write_text(OmegaConf.to_yaml(OmegaConf.create(content)))
    return file


def test_an_encoder_is_written_and_counted(recipe: Path):
    result = CliRunner().invoke(app, ["pretrain", "encoder", "-c", str(recipe), "--json"])
    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout.splitlines()[-1])
    assert (recipe.parent / "encoder" / "encoder.json").is_file()
    assert counts["left"]["step"] == counts["right"]["step"] == 2
    assert "tokens/s" in result.stderr


def test_other_settings_over_old_checkpoints_are_a_configuration_error(recipe: Path):
    runner = CliRunner()
    assert runner.invoke(app, ["pretrain", "encoder", "-c", str(recipe), "half=left"]).exit_code == 0
    result = runner.invoke(app, ["pretrain", "encoder", "-c", str(recipe), "half=left", "seed=5"])
    assert result.exit_code == 2
    assert "seed was 0, is 5" in result.stderr


def test_a_missing_source_is_an_input_error(recipe: Path):
    (recipe.parent / "texts" / "part-00000.parquet").unlink()
    (recipe.parent / "texts" / "part-00001.parquet").unlink()
    result = CliRunner().invoke(app, ["pretrain", "encoder", "-c", str(recipe)])
    assert result.exit_code == 2
    assert "no file matches" in result.stderr


def test_an_unknown_key_names_the_nearest(recipe: Path):
    result = CliRunner().invoke(app, ["pretrain", "encoder", "-c", str(recipe), "batch.contxt=3"])
    assert result.exit_code == 2
    assert "did you mean batch.context?" in result.stderr
