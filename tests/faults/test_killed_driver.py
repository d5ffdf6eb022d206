"""A driver killed in the middle of a write leaves nothing visible, and running the verb again is the whole repair."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpora import write_corpus
from tests.killed import kill_when
from tokensieve.jobs import mask, score
from tokensieve.jobs.errors import InputError


def staged_files(root: Path) -> list[Path]:
    return list((root / "_staging").rglob("*.parquet")) if (root / "_staging").is_dir() else []


@pytest.mark.slow
def test_a_driver_killed_while_it_writes_leaves_nothing_and_a_second_run_repairs_it(
    configure, tmp_path, repository, spark
):
    write_corpus(tmp_path / "source", files=3)
    config = configure()
    root = config.tables.folder
    log = (tmp_path / "log.txt").open("wb")
    command = [sys.executable, "-m", "tokensieve.jobs.cli", "score", "--config", str(tmp_path / "corpus.yaml")]
    process = subprocess.Popen(command, cwd=repository, start_new_session=True, stdout=log, stderr=log)
    kill_when(lambda: staged_files(root), process)
    log.close()
    assert list(root.glob("scores/batch=*")) == []
    with pytest.raises(InputError, match="run `tokensieve score` first"):
        mask.run(config, spark)
    assert score.run(config, spark)["documents"] == {"in": 36, "scored": 36, "quarantine": 0, "reasons": {}}
    assert mask.run(config, spark)["documents"]["in"] == 36
    assert staged_files(root) == [], "what the killed driver had staged is swept"
