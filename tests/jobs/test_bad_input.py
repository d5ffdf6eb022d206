"""Bad input: named errors for what stops a run, quarantine rows with file and row for what does not."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.corpora import sentence, write_corpus
from tokensieve.jobs import mask, score
from tokensieve.jobs.errors import ConfigError, InputError, QuarantineError
from tokensieve.jobs.source import scan

LENIENT = "score.quarantine_tolerance=1"


def quarantine(config, spark) -> list[tuple]:
    frame = config.tables.table("quarantine").read(spark)
    assert {"source_file", "source_row", "doc_id", "reason", "detail"} <= set(frame.columns)
    found = [(row["source_file"], row["source_row"], row["reason"]) for row in frame.collect()]
    return sorted(found, key=str)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("source.path=/nowhere/at/all", r"source.path: /nowhere/at/all does not exist"),
        ("source.format=jsonl", r"no .jsonl or .* file in .*; source.format is jsonl"),
        ("source.columns.text=body", r"no text column 'body'; columns: text, id, dump; set source.columns.text"),
        ("source.columns.text=number", r"text column 'number' holds int64, not strings"),
        ("source.columns.id=uuid", r"no id column 'uuid'"),
        ("policies.medicine.bundle=/no/bundle", r"policies.medicine.bundle: .*'/no/bundle'"),
    ],
)
def test_what_makes_a_run_pointless_is_refused_by_name(configure, tmp_path, spark, override, expected):
    more = {"number": [1] * 12} if "number" in override else {}
    write_corpus(tmp_path / "source", more=more)
    with pytest.raises(InputError, match=expected):
        score.run(configure(override), spark)


def test_an_empty_folder_is_refused(configure, tmp_path, spark):
    (tmp_path / "source").mkdir()
    with pytest.raises(InputError, match=r"no .parquet file in"):
        score.run(configure(), spark)


@pytest.mark.parametrize("name", ["doc_id", "Medicine", "reason", "action"])
def test_a_source_column_that_our_tables_need_is_refused(configure, tmp_path, spark, name):
    write_corpus(tmp_path / "source", more={name: ["x"] * 12})
    with pytest.raises(ConfigError, match=f"source column '{name}' has a name that our tables need"):
        score.run(configure(), spark)


def test_tables_inside_the_source_are_refused(configure, tmp_path, spark):
    write_corpus(tmp_path / "source")
    with pytest.raises(ConfigError, match=r"tables.root .* lies in source.path"):
        score.run(configure(f"tables.root={tmp_path / 'source' / 'out'}"), spark)


def test_columns_with_awkward_names_are_carried(configure, tmp_path, spark):
    write_corpus(tmp_path / "source", files=1, more={"meta.lang": ["en"] * 12, "first": [1] * 12, "a b`c": [2] * 12})
    config = configure()
    score.run(config, spark)
    mask.run(config, spark)
    row = config.tables.table("masked").read(spark).where("doc_id = 'doc-003'").first()
    assert (row["meta.lang"], row["first"], row["a b`c"]) == ("en", 1, 2)


@pytest.mark.parametrize("format", ["parquet", pytest.param("delta", marks=pytest.mark.slow)])
def test_broken_shards_and_rows_are_quarantined_and_the_rest_is_masked(configure, tmp_path, spark, format):
    source = write_corpus(tmp_path / "source", files=3)
    (source / "part-00001.parquet").write_bytes(b"garbage, not Parquet at all")
    whole = (source / "part-00002.parquet").read_bytes()
    (source / "part-00002.parquet").write_bytes(whole[: len(whole) // 2])
    other = pa.table({"text": [1, 2], "id": ["x", "y"], "dump": ["T", "T"]})
    pq.write_table(other, source / "part-00003.parquet")
    nulls = pa.table({"text": [None, "", "kept"], "id": ["n0", "n1", "doc-005"], "dump": ["T", "T", "T"]})
    pq.write_table(nulls, source / "part-00004.parquet")
    config = configure(f"tables.format={format}", LENIENT)
    counts = score.run(config, spark)["documents"]
    assert quarantine(config, spark) == [
        ("part-00001.parquet", None, "unreadable_file"),
        ("part-00002.parquet", None, "unreadable_file"),
        ("part-00003.parquet", None, "schema_mismatch"),
        ("part-00004.parquet", 0, "null_text"),
        ("part-00004.parquet", 2, "duplicate_id"),
    ]
    assert counts["in"] == 12 + 3 + 3 == counts["scored"] + counts["quarantine"]
    documents = mask.run(config, spark)["documents"]
    assert documents["keep"] + documents["mask"] == 13
    assert documents["quarantine"] == 5


def test_above_the_tolerance_the_run_fails_with_its_own_code_after_writing(configure, tmp_path, spark):
    source = write_corpus(tmp_path / "source")
    (source / "part-00001.parquet").write_bytes(b"")
    with pytest.raises(QuarantineError, match=r"1 of 13 documents quarantined .*unreadable_file"):
        score.run(configure(), spark)
    assert QuarantineError.exit_code == 3
    assert configure().tables.table("scores").read(spark).count() == 12


def test_a_shard_that_vanishes_after_listing_is_quarantined_row_by_row(configure, tmp_path, spark, monkeypatch):
    source = write_corpus(tmp_path / "source")
    listing = scan.list_files

    def list_then_lose(*given):
        found = listing(*given)
        os.unlink(source / "part-00001.parquet")
        return found

    monkeypatch.setattr(scan, "list_files", list_then_lose)
    config = configure(LENIENT)
    counts = score.run(config, spark)["documents"]
    assert counts == {"in": 24, "scored": 12, "quarantine": 12, "reasons": {"vanished_file": 12}}
    assert quarantine(config, spark)[0] == ("part-00001.parquet", 0, "vanished_file")


def test_duplicate_ids_keep_the_first_row_and_name_it(configure, tmp_path, spark):
    source = write_corpus(tmp_path / "source", files=1)
    pq.write_table(pq.read_table(source / "part-00000.parquet"), source / "part-00001.parquet")
    config = configure(LENIENT)
    counts = score.run(config, spark)["documents"]
    assert counts == {"in": 24, "scored": 12, "quarantine": 12, "reasons": {"duplicate_id": 12}}
    kept = config.tables.table("scores").read(spark).select("source_file").distinct().collect()
    assert [row["source_file"] for row in kept] == ["part-00000.parquet"]
    detail = config.tables.table("quarantine").read(spark).where("doc_id = 'doc-003'").select("detail").first()
    assert detail["detail"] == "first seen in part-00000.parquet row 3"


def test_json_lines_are_scored_and_their_bad_lines_named(configure, tmp_path, spark):
    source = tmp_path / "source"
    source.mkdir()
    lines = [json.dumps({"text": sentence(n), "id": f"j{n}", "meta": {"n": n}}) for n in range(5)]
    lines.insert(2, "{not json")
    (source / "a.jsonl").write_text("\n".join(lines) + "\n")
    (source / "b.jsonl.gz").write_bytes(b"\x1f\x8bno gzip")
    config = configure("source.format=jsonl", LENIENT)
    counts = score.run(config, spark)["documents"]
    assert counts == {
        "in": 7, "scored": 5, "quarantine": 2, "reasons": {"malformed_json": 1, "unreadable_file": 1},
    }  # fmt: skip
    assert quarantine(config, spark) == [("a.jsonl", 2, "malformed_json"), ("b.jsonl.gz", None, "unreadable_file")]
    row = config.tables.table("scores").read(spark).where("doc_id = 'j4'").first()
    assert (row["source_row"], row["meta"]["n"]) == (5, 4)


def test_a_delta_table_is_a_source_with_file_and_row(configure, tmp_path, spark):
    write_corpus(tmp_path / "files")
    frame = spark.read.parquet(str(tmp_path / "files")).withColumnRenamed("text", "content")
    frame.write.format("delta").save(str(tmp_path / "source"))
    config = configure("source.format=delta", "source.columns.text=content")
    assert score.run(config, spark)["documents"]["scored"] == 24
    mask.run(config, spark)
    row = config.tables.table("masked").read(spark).where("doc_id = 'doc-013'").first()
    assert row["text"] == sentence(13, 5 + 7 * 4)
    assert row["source_file"].endswith(".parquet")
    assert row["source_row"] == 1
    assert "content" not in row.asDict()


def test_ids_are_made_where_the_source_has_none(configure, tmp_path, spark):
    (tmp_path / "source").mkdir()
    pq.write_table(pa.table({"text": ["one", "two"]}), tmp_path / "source" / "a.parquet")
    config = configure()
    score.run(config, spark)
    ids = [row["doc_id"] for row in config.tables.table("scores").read(spark).collect()]
    assert len(set(ids)) == 2
    assert all(len(made) == 32 for made in ids)
