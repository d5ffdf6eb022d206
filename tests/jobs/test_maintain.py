"""Upkeep of a nightly corpus: compaction moves rows and changes none, vacuum takes what no kept release needs."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.corpora import sentence
from tests.refresh_runs import no_session, put, rows
from tokensieve.jobs import maintain, refresh
from tokensieve.jobs.errors import BusyError
from tokensieve.jobs.refresh import refresh as command
from tokensieve.jobs.releases.release import Release, releases
from tokensieve.jobs.tables.lock import locked

NO_SPARK: Any = None
TABLES = ("scores", "quarantine", "masked")


def add_shard(source: Path, number: int) -> None:
    """A shard of four documents; those before it stay as they are."""
    at = range(4 * number, 4 * number + 4)
    table = pa.table({"text": [sentence(n, 6 + n) for n in at], "id": [f"doc-{n:03d}" for n in at]})
    put(source, f"part-{number:05d}.parquet", table)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "delta"])
def test_compaction_is_released_with_the_same_rows_and_shards_and_older_releases_stay(form, configure, tmp_path, spark):
    config = configure(f"tables.format={form}")
    for number in range(3):
        add_shard(tmp_path / "source", number)
        refresh.run(config, lambda: spark)
    store = config.tables.store
    before = {name: rows(config, spark, name) for name in TABLES}
    assert maintain.compactable(config, spark)["scores"]["files"] >= 3
    assert releases(store) == [1, 2, 3], "a dry run releases nothing"

    done = maintain.compact(config, spark)

    assert (done["release"], done["scores"]["now"], done["masked"]["now"]) == (4, 1, 1)
    last, compacted = Release.load(store, 3), Release.load(store, 4)
    assert compacted.manifest == last.manifest
    assert compacted.tables["scores"] > last.tables["scores"]
    assert {name: rows(config, spark, name) for name in TABLES} == before
    run = refresh.run(config, lambda: spark)
    assert (run.ran, run.release) == (("report",), 4), "its report is all that is missing"
    assert refresh.run(config, no_session).state == "nothing_new"
    for version in (1, 2, 3, 4):
        assert set(command(config, no_session, as_of=version)["there"].values()) == {True}
    assert "release" not in maintain.compact(config, spark), "there is nothing left to compact"

    add_shard(tmp_path / "source", 3)
    run = refresh.run(config, lambda: spark)
    assert (run.scored, run.documents["in"]) == (("part-00003.parquet",), 16)

    few = config.model_copy(update={"refresh": config.refresh.model_copy(update={"keep_releases": 2})})
    maintain.vacuum(few, spark)
    assert releases(store) == [4, 5]
    assert {name: rows(config, spark, name)[: len(before[name])] for name in TABLES} == before
    assert set(command(config, no_session, as_of=4)["there"].values()) == {True}
    assert refresh.run(config, no_session).state == "nothing_new"


def test_upkeep_waits_for_a_run_that_runs(configure):
    config = configure()
    with locked(config.tables.store, 300, "refresh"):
        for upkeep in (maintain.compact, maintain.vacuum):
            with pytest.raises(BusyError, match="refresh"):
                upkeep(config, NO_SPARK)
