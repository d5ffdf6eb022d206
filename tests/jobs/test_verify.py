"""The verb verify: says that a corpus is well, or fails with every problem and the shard that has it."""

import pytest
from typer.testing import CliRunner

from tests.pretrain.conftest import write_corpus_in
from tokensieve.jobs.cli import app

SHARD = [([5, 6, 7, 0], [1, 0, 0, 1]), ([8, 0], [1, 1])]


@pytest.fixture
def config(tmp_path):
    (tmp_path / "tables" / "shards").mkdir(parents=True)
    write_corpus_in(tmp_path / "tables" / "shards", [SHARD, SHARD])
    (tmp_path / "corpus.yaml").write_text(
        f"source: {{path: {tmp_path / 'source'}}}\n"
        f"tables: {{root: {tmp_path / 'tables'}}}\n"
        "policies: {medicine: {definition: medicine, bundle: medicine-tiny}}\n"
    )
    return tmp_path / "corpus.yaml"


def test_a_corpus_that_is_what_its_manifest_says_passes(config):
    done = CliRunner().invoke(app, ["verify", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert "2 shards of manifest" in done.output


def test_problems_are_listed_with_their_shards_and_the_exit_code_is_2(config, tmp_path):
    folder = tmp_path / "tables" / "shards"
    (folder / "shard-00001_mask.bin").write_bytes(bytes([1, 1, 1, 1, 1, 1]))
    (folder / "shard-00000.idx").unlink()
    done = CliRunner().invoke(app, ["verify", "--config", str(config)])
    assert done.exit_code == 2
    assert "2 of its parts are wrong" in done.output
    assert "shard-00000: missing file" in done.output
    assert "shard-00001: counts differ: 6 loss_tokens on disk, 4 in the manifest" in done.output


def test_a_corpus_that_is_not_there_is_said(config, tmp_path):
    (tmp_path / "tables" / "shards" / "manifest.json").unlink()
    done = CliRunner().invoke(app, ["verify", "--config", str(config)])
    assert done.exit_code == 2
    assert "no manifest here; run `tokensieve export` first" in done.output
