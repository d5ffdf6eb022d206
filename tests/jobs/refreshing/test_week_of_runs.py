"""A week of refreshes on a growing corpus: after each, all tables equal those of a run from scratch."""

import shutil

import pyarrow as pa
import pytest

from tests.refresh_runs import Refreshes, put, shard
from tokensieve.jobs.releases.release import Release, releases
from tokensieve.jobs.tables.store import Store

pytestmark = pytest.mark.slow
TOLERANT = "score.quarantine_tolerance=1"


def test_every_run_leaves_what_a_run_from_scratch_would(configure, tmp_path, shared_data, spark, other_bundle):
    week = Refreshes(configure, tmp_path, spark, TOLERANT)
    source = week.source
    # Sunday: three shards, the last with a copy of a document of the first.
    for number in (1, 2):
        put(source, f"{number}.parquet", shard(shared_data, number))
    put(source, "3.parquet", pa.concat_tables([shard(shared_data, 3), shard(shared_data, 1, rows=1)]))
    run = week.run()
    assert run.scored == ("1.parquet", "2.parquet", "3.parquet")
    assert (run.reasons, week.idle().state) == ({"duplicate_id": 1}, "nothing_new")

    # Monday: a new shard whose name comes first, with copies of documents that were first until now.
    put(source, "0.parquet", pa.concat_tables([shard(shared_data, 4), shard(shared_data, 1, rows=2)]))
    run = week.run()
    assert (run.scored, run.sources.new) == (("0.parquet",), ("0.parquet",))
    assert run.sources.rescored == ("1.parquet",), "two of its rows are copies now, no classifier read them again"
    assert run.reasons == {"duplicate_id": 3}

    # Tuesday: a shard is republished under its name, another one is broken, a third has a new column.
    put(source, "2.parquet", shard(shared_data, 2, first=3))
    (source / "5.parquet").write_bytes((source / "1.parquet").read_bytes()[:-20])
    put(source, "6.parquet", _graded(shard(shared_data, 6)))
    run = week.run()
    assert run.scored == ("2.parquet", "5.parquet", "6.parquet")
    assert (run.sources.new, run.sources.changed) == (("5.parquet", "6.parquet"), ("2.parquet",))
    assert list(run.sources.broken) == ["5.parquet"]
    assert "unreadable_file: " in run.sources.broken["5.parquet"]

    # Wednesday: a column of another type stops its shard; a shard vanishes, and stays, as refresh.deleted says.
    retyped = shard(shared_data, 7)
    put(source, "7.parquet", retyped.set_column(3, "token_count", retyped["token_count"].cast(pa.string())))
    week.lost.mkdir()
    shutil.move(source / "1.parquet", week.lost / "1.parquet")
    run = week.run()
    assert (run.scored, run.sources.missing) == (("7.parquet",), ("1.parquet",))
    assert "schema_mismatch: column 'token_count'" in run.sources.broken["7.parquet"]
    idle = week.idle()
    assert (idle.state, idle.sources.missing, len(idle.sources.broken)) == ("nothing_new", ("1.parquet",), 2)

    # Thursday: the vanished one is retracted, with the first shard: copies of their documents are documents now.
    shutil.rmtree(week.lost)
    run = week.run("refresh.deleted=retract", "source.exclude=[0.parquet]")
    assert run.sources.gone == ("0.parquet", "1.parquet")
    assert run.scored == ("3.parquet",), "its copy comes back, so its text is read again"
    assert "duplicate_id" not in run.reasons

    # Friday: another threshold. No text is read, only decided.
    friday = ("refresh.deleted=retract", "source.exclude=[0.parquet]", "policies.medicine.rule.threshold=0.45")
    run = week.run(*friday)
    assert (run.scored, run.ran) == ((), ("mask", "export", "release", "report"))

    # Saturday: the broken shard is repaired, and there is another classifier.
    put(source, "5.parquet", shard(shared_data, 5))
    run = week.run(*friday, f"policies.medicine.bundle={other_bundle.path}")
    assert run.scored == ("2.parquet", "3.parquet", "5.parquet", "6.parquet", "7.parquet")
    assert list(run.sources.broken) == ["7.parquet"]

    made = _releases(week.config("parquet").tables.store)
    assert [release.documents["in"] for release in made] == [16, 23, 29, 30, 18, 18, 22]
    assert len({release.manifest for release in made}) == 7, "every release names what it was made of"


def _graded(shard: pa.Table) -> pa.Table:
    return shard.append_column("grade", pa.array(range(shard.num_rows), pa.int64()))


def _releases(store: Store) -> list[Release]:
    return [Release.load(store, version) for version in releases(store)]
