import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from udfs.read_shard import Faults, Rows, Split, file_version, read_split

SCHEMA = pa.schema([("text", pa.string()), ("n", pa.int64())])


def split_of(path: Path, groups: tuple[tuple[int, int, int], ...], format: str = "parquet") -> Split:
    return Split(path=str(path), name=path.name, version=file_version(str(path)), format=format, row_groups=groups)


def parquet(path: Path, rows: int = 600, group: int = 300) -> Path:
    table = pa.table({"text": [f"text {n} " * 20 for n in range(rows)], "n": list(range(rows))}, schema=SCHEMA)
    pq.write_table(table, path, row_group_size=group, compression="none", use_dictionary=False)
    return path


def rows_and_faults(split: Split) -> tuple[list[dict], list[Faults]]:
    parts = list(read_split(split, SCHEMA))
    rows = [row for part in parts if isinstance(part, Rows) for row in part.batch.to_pylist()]
    return rows, [part for part in parts if isinstance(part, Faults)]


def test_rows_come_with_file_version_and_row(tmp_path):
    path = parquet(tmp_path / "a.parquet")
    rows, faults = rows_and_faults(split_of(path, ((1, 300, 300),)))
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
    rows, _ = rows_and_faults(split_of(tmp_path / "a.parquet", ((0, 0, 1),)))
    assert rows[0]["n"] is None


def test_a_file_that_vanished_faults_every_row_of_the_split(tmp_path):
    path = parquet(tmp_path / "a.parquet")
    split = split_of(path, ((0, 0, 300),))
    path.unlink()
    rows, faults = rows_and_faults(split)
    assert rows == []
    assert [(fault.reason, fault.rows) for fault in faults] == [("vanished_file", tuple(range(300)))]


def test_a_file_that_changed_since_it_was_listed_is_not_read(tmp_path):
    split = split_of(parquet(tmp_path / "a.parquet"), ((0, 0, 300),))
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
    rows, faults = rows_and_faults(split_of(path, ((0, 0, 300), (1, 300, 300))))
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
    rows, faults = rows_and_faults(split_of(path, ((0, 0, 8),), "jsonl"))
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
    rows, faults = rows_and_faults(split_of(path, ((0, 0, 1),), "jsonl"))
    assert [row["text"] for row in rows] == ["packed"]
    assert faults == []


def test_batches_are_cut_by_bytes(tmp_path):
    big = "x" * (6 * 2**20)
    pq.write_table(pa.table({"text": [big] * 5, "n": range(5)}, schema=SCHEMA), tmp_path / "a.parquet")
    parts = list(read_split(split_of(tmp_path / "a.parquet", ((0, 0, 5),)), SCHEMA))
    assert [part.batch.num_rows for part in parts if isinstance(part, Rows)] == [2, 1, 2]
