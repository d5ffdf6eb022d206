import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.jobs.source.inspect_file import Shard, inspect
from tokensieve.udfs.reading.parts import Faults, Rows
from tokensieve.udfs.reading.read_shard import file_version, read_split
from tokensieve.udfs.reading.split import Split

SCHEMA = pa.schema([("text", pa.string()), ("n", pa.int64())])


def splits_of(path: Path, format: str = "parquet") -> tuple[Split, ...]:
    shard = inspect(str(path), str(path.parent), format, "text")
    assert isinstance(shard, Shard)
    return shard.splits


def parquet(path: Path, rows: int = 600, group: int = 300) -> Path:
    table = pa.table({"text": [f"text {n} " * 20 for n in range(rows)], "n": list(range(rows))}, schema=SCHEMA)
    pq.write_table(table, path, row_group_size=group, compression="none", use_dictionary=False)
    return path


def rows_and_faults(*splits: Split) -> tuple[list[dict], list[Faults]]:
    parts = [part for split in splits for part in read_split(split, SCHEMA)]
    rows = [row for part in parts if isinstance(part, Rows) for row in part.batch.to_pylist()]
    return rows, [part for part in parts if isinstance(part, Faults)]


def test_rows_come_with_file_version_and_row(tmp_path):
    path = parquet(tmp_path / "a.parquet")
    rows, faults = rows_and_faults(splits_of(path)[1])
    assert faults == []
    assert rows[0] == {
        "text": "text 300 " * 20,
        "n": 300,
        "source_file": "a.parquet",
        "source_version": file_version(str(path)),
        "source_row": 300,
    }
    assert [row["source_row"] for row in rows] == list(range(300, 600))


def test_a_column_that_this_file_lacks_is_null(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    rows, _ = rows_and_faults(*splits_of(tmp_path / "a.parquet"))
    assert rows[0]["n"] is None


def test_a_file_that_vanished_faults_every_row_of_the_split(tmp_path):
    path = parquet(tmp_path / "a.parquet")
    split = splits_of(path)[0]
    path.unlink()
    rows, faults = rows_and_faults(split)
    assert rows == []
    assert [(fault.reason, fault.rows) for fault in faults] == [("vanished_file", range(300))]


def test_a_file_that_changed_since_it_was_listed_is_not_read(tmp_path):
    split = splits_of(parquet(tmp_path / "a.parquet"))[0]
    parquet(tmp_path / "a.parquet", rows=700)
    rows, faults = rows_and_faults(split)
    assert rows == []
    assert [fault.reason for fault in faults] == ["changed_file"]


def test_a_damaged_row_group_costs_its_own_rows_only(tmp_path):
    path = parquet(tmp_path / "a.parquet")
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40  # the first page's header
    path.write_bytes(data)
    rows, faults = rows_and_faults(*splits_of(path))
    assert [row["source_row"] for row in rows] == list(range(300))
    assert [row for fault in faults for row in fault.rows] == list(range(300, 600))
    assert {fault.reason for fault in faults} == {"corrupt_rows"}
    assert "row group 1" in faults[0].detail


def test_json_lines_fault_one_by_one_with_their_line_number(tmp_path):
    lines = [
        json.dumps({"text": "zero", "n": 0}),
        '{"text": "cut',
        "",
        json.dumps({"text": "three", "n": "three"}),
        '{"text": "\\ud800", "n": 4}',
        json.dumps(["text"]),
        json.dumps({"text": "six", "other": 1}),
        json.dumps({"text": "seven", "n": 7}),
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes("\n".join(lines).encode() + b'\n{"text": "\xff"}\n')
    rows, faults = rows_and_faults(*splits_of(path, "jsonl"))
    assert [(row["source_row"], row["text"]) for row in rows] == [(0, "zero"), (7, "seven")]
    assert sorted((fault.rows[0], fault.reason) for fault in faults) == [
        (1, "malformed_json"),
        (3, "wrong_type"),
        (4, "invalid_text"),
        (5, "malformed_json"),
        (6, "schema_mismatch"),
        (8, "malformed_json"),
    ]


def test_compressed_json_lines_are_read_by_their_name(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"text": "packed", "n": 1}).encode()))
    rows, faults = rows_and_faults(*splits_of(path, "jsonl"))
    assert [row["text"] for row in rows] == ["packed"]
    assert faults == []


def test_batches_are_cut_by_bytes(tmp_path):
    big = "x" * (3 * 2**18)
    pq.write_table(pa.table({"text": [big] * 5, "n": range(5)}, schema=SCHEMA), tmp_path / "a.parquet")
    parts = list(read_split(splits_of(tmp_path / "a.parquet")[0], SCHEMA))
    assert [part.batch.num_rows for part in parts if isinstance(part, Rows)] == [2, 1, 2]


def test_short_rows_come_in_large_batches(tmp_path):
    pq.write_table(pa.table({"text": ["word"] * 20_000, "n": range(20_000)}, schema=SCHEMA), tmp_path / "a.parquet")
    lines = (json.dumps({"text": "word", "n": n}) for n in range(20_000))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    for format in ("parquet", "jsonl"):
        splits = splits_of(tmp_path / f"a.{format}", format)
        sizes = [
            part.batch.num_rows for split in splits for part in read_split(split, SCHEMA) if isinstance(part, Rows)
        ]
        assert sum(sizes) == 20_000
        assert max(sizes) == (8_192 if format == "parquet" else splits[0].rows)


def test_a_document_larger_than_a_batch_is_a_batch_of_its_own(tmp_path):
    texts = ["before", "x" * (20 * 2**20), "after", "later"]
    table = pa.table({"text": texts, "n": range(4)}, schema=SCHEMA)
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in table.to_pylist()))
    for format in ("parquet", "jsonl"):
        parts = [part for split in splits_of(tmp_path / f"a.{format}", format) for part in read_split(split, SCHEMA)]
        batches = [part.batch.column("source_row").to_pylist() for part in parts if isinstance(part, Rows)]
        assert batches == [[0], [1], [2, 3]]
