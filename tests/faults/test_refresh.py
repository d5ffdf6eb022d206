"""A refresh that is killed at any point is repaired by running it again; two at once do not harm each other."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpora import write_corpus
from tests.killed import kill_when
from tests.refresh_runs import no_session, rows
from tokensieve.jobs import mask, refresh, score
from tokensieve.jobs.releases.release import releases

pytestmark = pytest.mark.slow
SECONDS = 200


def start(repository: Path, folder: Path) -> subprocess.Popen:
    """`tokensieve refresh` in a process group of its own."""
    command = [
        sys.executable,
        "-m",
        "tokensieve.jobs.cli",
        "refresh",
        "--config",
        str(folder / "corpus.yaml"),
        "--json",
    ]
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(command, cwd=repository, start_new_session=True, stdout=subprocess.PIPE, stderr=log)


def staged(root: Path) -> Callable[[], object]:
    return lambda: list(root.glob("_staging/*/*.parquet"))


def exists(root: Path, name: str) -> Callable[[], object]:
    return (root / name).exists


KILLED_AT = {
    "while rows are staged": lambda root: staged(root),
    "between quarantine and scores": lambda root: exists(root, "quarantine/_commits/00000001.json"),
    "between scores and masked": lambda root: exists(root, "scores/_commits/00000001.json"),
    "between masked and shards": lambda root: exists(root, "masked/_commits/00000001.json"),
    "between shards and release": lambda root: lambda: len(list(root.glob("shards/manifests/*.json"))) > 1,
    "between release and report": lambda root: exists(root, "releases/00000002.json"),
}


@pytest.mark.parametrize("moment", KILLED_AT)
def test_a_killed_run_is_repaired_by_running_it_again(moment, configure, tmp_path, repository, spark):
    write_corpus(tmp_path / "source", files=2)
    config = configure()
    root = config.tables.folder
    refresh.run(config, lambda: spark)
    write_corpus(tmp_path / "source", files=3)
    kill_when(KILLED_AT[moment](root), start(repository, tmp_path))

    run = refresh.run(config, lambda: spark)

    assert (run.state, run.release, run.sources.new) == ("done", 2, ("part-00002.parquet",))
    assert run.documents["in"] == 36
    assert refresh.run(config, no_session).state == "nothing_new"
    afresh = configure(f"tables.root={tmp_path / 'afresh'}")
    score.run(afresh, spark)
    mask.run(afresh, spark)
    for table in ("scores", "quarantine", "masked"):
        assert rows(config, spark, table) == rows(afresh, spark, table)
    assert not (root / "_staging").exists(), "what the killed driver had staged is swept"


def test_of_two_refreshes_at_once_one_works_and_the_other_says_who_holds_the_lock(
    configure, tmp_path, repository, spark
):
    write_corpus(tmp_path / "source", files=2)
    config = configure()
    both = [start(repository, tmp_path) for _ in range(2)]
    codes = sorted(process.wait(SECONDS) for process in both)
    assert codes == [0, 1]
    winner = next(process for process in both if process.returncode == 0)
    said = json.loads((winner.stdout.read() if winner.stdout else b"").splitlines()[-1])
    assert (said["state"], said["release"]) == ("done", 1)
    assert "`tokensieve refresh` runs there since 20" in (tmp_path / "log.txt").read_text()
    assert f"process {winner.pid} on " in (tmp_path / "log.txt").read_text()
    assert releases(config.tables.store) == [1]
    assert refresh.run(config, no_session).state == "nothing_new"
