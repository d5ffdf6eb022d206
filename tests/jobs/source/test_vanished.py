"""The source is listed once a run; a file that goes between that listing and its opening is one broken file."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpora import sentence, write_corpus
from tests.jobs.source.test_changes import write
from tests.platforms.s3_server import BUCKET
from tests.refresh_runs import no_session
from tokensieve.jobs import refresh, score
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.policies import rules
from tokensieve.jobs.refreshing.dry_run import dry_run
from tokensieve.jobs.source import listing
from tokensieve.jobs.source.listing import find_files, list_files
from tokensieve.jobs.tables import ledger
from tokensieve.jobs.tables.ledger import Ledger

LENIENT = "score.quarantine_tolerance=1"


def counted(monkeypatch, module, name: str) -> list[str]:
    """Gets the name once for every call of a function from now on."""
    calls, function = [], getattr(module, name)

    def count(*given, **named):
        calls.append(name)
        return function(*given, **named)

    monkeypatch.setattr(module, name, count)
    return calls


def stop_before_scoring(monkeypatch) -> None:
    """A run plans, lists and opens its files, and ends there."""

    def stop(*given):
        raise InputError("planned")

    monkeypatch.setattr(score, "_score", stop)


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_a_file_that_goes_before_it_is_opened_is_broken_and_has_no_version(configure, tmp_path, format):
    source = write_corpus(tmp_path / "source", files=2)
    if format == "jsonl":
        (source / "a.jsonl").write_text('{"text": "x"}\n')
        (source / "part-00001.jsonl").write_text('{"text": "y"}\n')
    config = configure(f"source.format={format}").source
    found = find_files(config)
    (source / f"part-00001.{format}").unlink()
    looked = list_files(config, found=found)
    assert [(one.name, one.version, one.reason) for one in looked.broken] == [
        (f"part-00001.{format}", "", "vanished_file")
    ]
    assert looked.rows_of[f"part-00001.{format}"] == 1
    assert sum(looked.rows_of.values()) == looked.documents == {"parquet": 13, "jsonl": 2}[format]


def test_an_object_that_goes_before_it_is_opened_is_broken(configure, s3, tmp_path):
    place = put_objects(s3, tmp_path)
    config = configure(f"source.path=s3a://{place}", *s3.overrides("source")).source
    found = find_files(config)
    s3.files().rm(f"{place}/b.parquet")
    looked = list_files(config, found=found)
    assert [(one.name, one.version, one.reason) for one in looked.broken] == [("b.parquet", "", "vanished_file")]


def test_a_file_that_went_is_counted_as_one_that_cannot_be_read_and_scored_when_it_is_back(configure, tmp_path, spark):
    source, aside = tmp_path / "source", tmp_path / "b.parquet"
    write(source, "a.parquet", ["a1", "a2"])
    write(source, "b.parquet", ["b1", "a2", "b2"])
    config = configure(LENIENT)
    found = find_files(config.source)
    shutil.move(source / "b.parquet", aside)
    first = score.run(config, spark, found=found)
    assert first["documents"] == {"in": 3, "scored": 2, "quarantine": 1, "reasons": {"vanished_file": 1}}
    assert first["sources"]["broken"]["b.parquet"].startswith("vanished_file: FileNotFoundError: ")
    known = Ledger.of(config.tables.store, config.tables.table("scores").commit())
    assert known is not None
    went = known.sources["b.parquet"]
    assert (went.version, went.documents, went.fault) == ("", 1, "vanished_file")

    assert "sources" not in score.run(config, spark, deleted="keep"), "still away, still told"
    shutil.move(aside, source / "b.parquet")  # the very same file, with its old time
    second = score.run(config, spark)
    assert (second["sources"]["changed"], second["sources"]["kept"]) == (["b.parquet"], 1)
    assert second["documents"] == {"in": 5, "scored": 4, "quarantine": 1, "reasons": {"duplicate_id": 1}}
    assert second["batch"] != first["batch"]
    ids = {row["doc_id"] for row in config.tables.table("scores").read(spark).collect()}
    assert ids == {"a1", "a2", "b1", "b2"}


def test_a_file_that_stays_away_leaves_where_the_policy_says_so(configure, tmp_path, spark):
    write(tmp_path / "source", "a.parquet", ["a1"])
    write(tmp_path / "source", "b.parquet", ["b1"])
    config = configure(LENIENT)
    found = find_files(config.source)
    (tmp_path / "source" / "b.parquet").unlink()
    assert score.run(config, spark, found=found)["documents"]["quarantine"] == 1
    last = score.run(config, spark)
    assert last["sources"]["gone"] == ["b.parquet"]
    assert last["documents"] == {"in": 1, "scored": 1, "quarantine": 0, "reasons": {}}


@pytest.mark.parametrize(("deleted", "there"), [("keep", {"a1", "b1", "b2"}), ("retract", {"a1"})])
def test_the_rows_of_a_known_file_that_went_stay_or_leave_as_those_of_one_that_was_not_listed(
    configure, tmp_path, spark, deleted, there
):
    write(tmp_path / "source", "a.parquet", ["a1"])
    write(tmp_path / "source", "b.parquet", ["b1", "b2"])
    config = configure(LENIENT)
    score.run(config, spark)
    write(tmp_path / "source", "b.parquet", ["b3"])
    found = find_files(config.source)
    (tmp_path / "source" / "b.parquet").unlink()
    said = score.run(config, spark, again=["b.parquet"], deleted=deleted, found=found)
    assert {row["doc_id"] for row in config.tables.table("scores").read(spark).collect()} == there
    assert said["documents"] == {"in": len(there), "scored": len(there), "quarantine": 0, "reasons": {}}


def test_a_kept_file_that_is_gone_and_has_to_be_read_again_is_named(configure, tmp_path, spark):
    write(tmp_path / "source", "a.parquet", ["a1", "x"])
    write(tmp_path / "source", "b.parquet", ["b1", "x"])
    score.run(configure(LENIENT), spark)
    (tmp_path / "source" / "b.parquet").unlink()
    write(tmp_path / "source", "a.parquet", ["a1"])  # x is b's now, whose text is gone
    with pytest.raises(InputError, match=r"b\.parquet is no longer there .* source\.exclude"):
        score.run(configure(LENIENT), spark, deleted="keep")
    left = score.run(configure(LENIENT, "source.exclude=[b.parquet]"), spark, deleted="keep")
    assert (left["sources"]["gone"], left["documents"]["in"]) == (["b.parquet"], 1)


def put_objects(s3, tmp_path) -> str:
    """Two small files in a folder of the store; returns it."""
    place = f"{BUCKET}/{tmp_path.name}"
    for name in ("a", "b"):
        pq.write_table(pa.table({"text": [sentence(1)], "id": [name]}), tmp_path / f"{name}.parquet")
        s3.files().put_file(str(tmp_path / f"{name}.parquet"), f"{place}/{name}.parquet")
    return place


def test_score_and_refresh_list_a_folder_once(configure, tmp_path, monkeypatch):
    write_corpus(tmp_path / "source")
    stop_before_scoring(monkeypatch)
    calls = counted(monkeypatch, listing, "source_files")
    with pytest.raises(InputError, match="planned"):
        score.run(configure(), None)  # type: ignore[arg-type]  # it ends before there is something for Spark
    assert len(calls) == 1
    with pytest.raises(InputError, match="planned"):
        refresh.run(configure(), lambda: None)  # type: ignore[arg-type,return-value]
    assert len(calls) == 2


def test_score_and_refresh_pay_for_one_listing_of_a_store(configure, s3, tmp_path, monkeypatch):
    place = put_objects(s3, tmp_path)
    config = configure(f"source.path=s3a://{place}", *s3.overrides("source"))
    stop_before_scoring(monkeypatch)
    asked: list[tuple[str, str]] = []
    with s3.refusing(lambda method, path: asked.append((method, path.strip("/"))) or False):
        with pytest.raises(InputError, match="planned"):
            score.run(config, None)  # type: ignore[arg-type]
        assert asked.count(("GET", BUCKET)) == 1
        asked.clear()
        with pytest.raises(InputError, match="planned"):
            refresh.run(config, lambda: None)  # type: ignore[arg-type,return-value]
        assert asked.count(("GET", BUCKET)) == 1
    assert {("HEAD", f"{place}/a.parquet"), ("HEAD", f"{place}/b.parquet")} <= {*asked}, "files are opened one by one"


@pytest.mark.slow
def test_a_whole_refresh_lists_once_and_loads_each_bundle_once(configure, tmp_path, spark, monkeypatch):
    write_corpus(tmp_path / "source")
    config = configure()
    listings, bundles = counted(monkeypatch, listing, "source_files"), counted(monkeypatch, rules, "load_bundle")
    definitions = counted(monkeypatch, rules, "load_definition")
    assert refresh.run(config, lambda: spark).state == "done"
    assert (len(listings), len(bundles), len(definitions)) == (1, 1, 1)
    ledgers = counted(monkeypatch, ledger.pq, "read_table")
    assert refresh.run(config, no_session).state == "nothing_new"
    assert (len(listings), len(bundles), len(definitions), len(ledgers)) == (2, 2, 2, 1)
    write(tmp_path / "source", "new.parquet", ["n1"])
    assert dry_run(config, False)["new"] == ["new.parquet"]
    assert len(listings) == 3
