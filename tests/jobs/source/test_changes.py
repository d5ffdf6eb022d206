"""A source that changes: the tables follow file by file, and are those of a run that begins anew."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpora import sentence
from tokensieve.jobs import mask, score
from tokensieve.jobs.config.corpus import Config
from tokensieve.jobs.errors import BusyError
from tokensieve.jobs.tables.ledger import Ledger
from tokensieve.jobs.tables.quarantine import read_quarantine
from tokensieve.jobs.tables.table import Commit


def write(folder: Path, name: str, ids: list[str], more: dict[str, list] | None = None) -> None:
    """A shard whose texts follow from its name and the ids; written again it has another version."""
    folder.mkdir(exist_ok=True)
    texts = [sentence(sum(map(ord, name + one)), 4 + len(one)) for one in ids]
    pq.write_table(pa.table({"text": texts, "id": ids, **(more or {})}), folder / name)
    newer = os.stat(folder / name).st_mtime_ns + 10**9
    os.utime(folder / name, ns=(newer, newer))


def content(config: Config, spark) -> dict[str, list[dict]]:
    """Every row of the three tables but where their number in a batch would show."""
    frames = {
        "scores": config.tables.table("scores").read(spark),
        "quarantine": read_quarantine(config.tables, spark),
        "masked": config.tables.table("masked").read(spark),
    }
    found = {}
    for name, frame in frames.items():
        rows = [row.asDict(recursive=True) for row in frame.collect()]
        found[name] = sorted(
            ({key: value for key, value in row.items() if value is not None} for row in rows),
            key=lambda row: (row["source_file"], row.get("source_row", -1), row["doc_id"]),
        )
    return found


@pytest.fixture(params=["parquet", pytest.param("delta", marks=pytest.mark.slow)])
def one_run(request, configure, tmp_path, spark):
    """Runs score and mask on the source as it is, and holds the tables against a run that begins anew."""
    number = 0

    def run(*overrides: str, **options) -> dict:
        nonlocal number
        number += 1
        given = [f"tables.format={request.param}", "score.quarantine_tolerance=1", *overrides]
        config = configure(*given)
        scored = score.run(config, spark, **options)
        mask.run(config, spark)
        anew = configure(*given, f"tables.root={tmp_path / f'anew-{number}'}")
        score.run(anew, spark)
        mask.run(anew, spark)
        assert content(config, spark) == content(anew, spark)
        return scored

    return run


def test_only_what_is_new_or_changed_is_scored_and_the_tables_are_those_of_a_run_that_begins_anew(
    one_run, configure, tmp_path, spark
):
    source = tmp_path / "source"
    write(source, "b.parquet", ["b1", "b2", "x"])
    write(source, "c.parquet", ["c1", "x", "c2"])
    first = one_run()
    assert first["sources"] | {"broken": None} == {
        "new": ["b.parquet", "c.parquet"], "changed": [], "again": [], "gone": [], "kept": 0, "moved": [],
        "broken": None,
    }  # fmt: skip
    assert first["documents"] == {"in": 6, "scored": 5, "quarantine": 1, "reasons": {"duplicate_id": 1}}
    write(source, "a.parquet", ["x", "a1"], more={"dump": ["N", "N"]})  # takes x from b, with a column that is new
    second = one_run()
    assert (second["sources"]["new"], second["sources"]["moved"]) == (["a.parquet"], ["b.parquet"])
    assert second["documents"]["reasons"] == {"duplicate_id": 2}
    write(source, "a.parquet", ["a1", "a2"])  # gives x back to b, where it was quarantined
    third = one_run()
    assert (third["sources"]["changed"], third["sources"]["again"]) == (["a.parquet"], ["b.parquet", "c.parquet"])
    (source / "b.parquet").unlink()  # and now to c
    fourth = one_run()
    assert (fourth["sources"]["gone"], fourth["sources"]["again"]) == (["b.parquet"], ["c.parquet"])
    assert fourth["documents"] == {"in": 5, "scored": 5, "quarantine": 0, "reasons": {}}
    assert "sources" not in one_run(), "nothing has happened"
    (source / "d.parquet").write_bytes(b"PAR1 is not enough")
    fifth = one_run()
    assert list(fifth["sources"]["broken"]) == ["d.parquet"]
    assert fifth["documents"]["reasons"] == {"unreadable_file": 1}
    (source / "d.parquet").unlink()
    assert one_run("source.exclude=[a.*]")["sources"]["gone"] == ["a.parquet", "d.parquet"]
    again = one_run("source.exclude=[a.*]", again=["c.parquet"])
    assert (again["sources"]["again"], again["sources"]["kept"]) == (["c.parquet"], 0)


def test_files_that_vanished_stay_where_the_policy_says_so(configure, tmp_path, spark):
    write(tmp_path / "source", "a.parquet", ["a1", "a2"])
    write(tmp_path / "source", "b.parquet", ["b1"])
    config = configure()
    score.run(config, spark)
    (tmp_path / "source" / "a.parquet").unlink()
    assert score.run(config, spark, deleted="keep")["documents"]["scored"] == 3
    write(tmp_path / "source", "c.parquet", ["c1"])
    assert score.run(config, spark, deleted="keep")["documents"]["scored"] == 4
    assert score.run(config, spark)["documents"]["scored"] == 2


def test_of_two_writers_that_began_from_one_version_one_commits(configure, tmp_path, spark):
    write(tmp_path / "source", "a.parquet", ["a1", "a2"])
    for form in ("parquet", "delta"):
        config = configure(f"tables.format={form}", f"tables.root={tmp_path / form}")
        score.run(config, spark)
        table = config.tables.table("scores")
        base = table.commit()
        assert base is not None
        assert base.ledger is not None
        rows = table.read(spark)
        given = {"leaving": {"a.parquet"}, "incoming": {"a.parquet"}}
        first = table.update(rows, Commit(batch="one", ledger=base.ledger), base, **given)
        with pytest.raises(BusyError, match="another writer committed in the meantime"):
            table.update(rows, Commit(batch="two", ledger=base.ledger), base, **given)
        found = table.commit()
        assert found is not None
        assert (found.batch, found.version) == ("one", first.version)
        assert table.read(spark).count() == 2
        assert Ledger.load(config.tables.store, base.ledger).sources["a.parquet"].documents == 2


@pytest.mark.parametrize("form", ["parquet", pytest.param("delta", marks=pytest.mark.slow)])
def test_compaction_keeps_the_rows_and_an_old_version_stays_until_it_is_let_go(form, configure, tmp_path, spark):
    source = tmp_path / "source"
    config = configure(f"tables.format={form}", f"tables.root={tmp_path / form}")
    config.tables.store.write("releases/00000001.json", b"{}")  # old versions are somebody's
    for at, name in enumerate(("a.parquet", "b.parquet", "a.parquet")):
        write(source, name, [f"{name}-{n}" for n in range(3 + at)])
        score.run(config, spark)
    table = config.tables.table("scores")
    before, versions = table.read(spark).count(), table.versions()
    assert (before, len(versions)) == (9, 3)
    assert table.compact(spark, dry_run=False)["now"] == 1
    assert table.read(spark).count() == 9
    assert score.run(config, spark)["documents"]["scored"] == 9
    assert "sources" not in score.run(config, spark), "compaction is no reason to score"
    assert [table.read(spark, version).count() for version in versions] == [3, 7, 9]
    removed = table.vacuum(spark, keep=[versions[1]], dry_run=True)
    assert table.read(spark, versions[0]).count() == 3, "a dry run removes nothing"
    table.vacuum(spark, keep=[versions[1]], dry_run=False)
    assert table.read(spark, versions[1]).count() == 7
    assert table.read(spark).count() == 9
    if form == "parquet":
        assert f"scores/_commits/{versions[0]:08d}.json" in removed
        assert versions[0] not in table.versions()
