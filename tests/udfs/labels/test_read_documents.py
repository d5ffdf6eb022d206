"""A source as plain documents: every row keeps its place, unreadable ones with a note instead of a text."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokensieve.jobs.source.inspect_file import Shard, inspect
from tokensieve.udfs.labels.labels import DOCUMENT_SCHEMA
from tokensieve.udfs.labels.read_documents import ReadPlan, read_splits, read_table_rows
from tokensieve.udfs.reading.split import Split, task_table
from tokensieve.udfs.reading.text_rows import document_ids, made_id, text_faults, text_hash

SCHEMA = pa.schema([("text", pa.string()), ("id", pa.int64()), ("domain", pa.string())])


def splits_of(*paths: Path, format: str = "parquet") -> list[Split]:
    looked = [inspect(str(path), str(path.parent), format, "text") for path in paths]
    return [split for shard in looked if isinstance(shard, Shard) for split in shard.splits]


def plan_of(id: str | None = "id", carried=()) -> ReadPlan:
    return ReadPlan(schema=SCHEMA, text="text", id=id, carried=carried)


def read(plan: ReadPlan, splits: list[Split]) -> list[dict]:
    batches = list(read_splits(plan, task_table([splits]).to_batches()))
    assert {batch.schema for batch in batches} == {plan.output_schema()}
    return [row for batch in batches for row in batch.to_pylist()]


def parquet(path: Path, texts: list[str | None]) -> Path:
    ids = [None, *range(1, len(texts))]
    pq.write_table(pa.table([texts, ids, ["medicine"] * len(texts)], schema=SCHEMA), path)
    return path


def test_rows_become_documents_with_ids_as_text_and_the_hash_of_the_text(tmp_path):
    path = parquet(tmp_path / "a.parquet", ["é", None, ""])
    assert read(plan_of(), splits_of(path)) == [
        {"doc_id": made_id("a.parquet", 0), "text": "é", "text_hash": text_hash("é"), "note": None},
        {"doc_id": "1", "text": None, "text_hash": None, "note": "null_text: the text column is null"},
        {"doc_id": "2", "text": "", "text_hash": text_hash(""), "note": None},
    ]
    assert plan_of().output_schema() == DOCUMENT_SCHEMA


def test_ids_and_hashes_do_not_depend_on_the_process():
    # Python's own hash() is salted: the released code gave a document another id in every run.
    assert made_id("part-0.parquet", 7) == "2fee235697adff43cbb0669805ff4c61"
    assert text_hash("naïve") == "75cf51022852202d973709312f5ed1e7"
    assert made_id("a", 11) != made_id("a1", 1)


def test_columns_of_the_source_come_along_under_the_given_name_and_are_null_for_faults(tmp_path):
    good, lost = parquet(tmp_path / "a.parquet", ["x"]), parquet(tmp_path / "b.parquet", ["y", "z"])
    splits = splits_of(good, lost)
    lost.unlink()
    rows = read(plan_of(carried=(("label", "domain"), ("file", "source_file"), ("row", "source_row"))), splits)
    assert [(row["label"], row["file"], row["row"]) for row in rows] == [
        ("medicine", "a.parquet", 0),
        (None, "b.parquet", None),
        (None, "b.parquet", None),
    ]
    assert [row["doc_id"] for row in rows[1:]] == [made_id("b.parquet", 0), made_id("b.parquet", 1)]
    assert rows[1]["note"].startswith("vanished_file: b.parquet: ")
    with pytest.raises(KeyError, match="dmain"):
        plan_of(carried=(("label", "dmain"),)).output_schema()


def test_bad_lines_cost_only_themselves(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": "one", "id": 1}), "{broken", json.dumps({"text": "\ud800", "id": 3})]
    path.write_text("\n".join([*lines, json.dumps({"text": "four", "id": 4})]))
    rows = {row["text"] or row["doc_id"]: row for row in read(plan_of(), splits_of(path, format="jsonl"))}
    assert list(rows) == [made_id("a.jsonl", 1), "one", made_id("a.jsonl", 2), "four"]
    assert rows[made_id("a.jsonl", 1)]["note"].startswith("malformed_json: a.jsonl: ")
    assert rows[made_id("a.jsonl", 2)]["note"].startswith("invalid_text: a.jsonl: ")


def test_rows_of_a_table_are_numbered_on_across_batches():
    batch = pa.RecordBatch.from_pydict({"text": ["a", "b"], "id": [None, None], "domain": ["x", "y"]}, schema=SCHEMA)
    for name, value in (("source_file", "f"), ("source_version", "delta-1")):
        batch = batch.append_column(pa.field(name, pa.string()), pa.array([value] * 2))
    found = [row["doc_id"] for out in read_table_rows(plan_of(), [batch, batch]) for row in out.to_pylist()]
    assert found == [made_id("f", row) for row in range(4)]


def test_text_faults_name_the_row_and_the_byte():
    offsets = pa.py_buffer(np.array([0, 2, 4, 4], "<i4"))
    text = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"ok\xff\xfe"))
    first, second, third = text_faults(text)
    assert (first, third) == (None, None)
    assert second is not None
    assert second[0] == "invalid_text"
    assert "0xff in position 0" in second[1]
    assert text_faults(pa.array(["a", None])) == [None, ("null_text", "the text column is null")]


def test_ids_of_any_type_become_text():
    rows = pa.RecordBatch.from_pydict({"id": [7, None], "source_file": ["f", "f"], "source_row": [0, 1]})
    assert document_ids(rows, "id").to_pylist() == ["7", made_id("f", 1)]
    assert document_ids(rows, None).to_pylist() == [made_id("f", 0), made_id("f", 1)]
