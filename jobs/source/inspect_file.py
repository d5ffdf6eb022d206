"""One file of the source as the driver sees it: its version, its schema, and its rows as splits.

Parquet tells all that in its footer. A JSONL file is walked to the end: the count of its lines is a promise that the
scores table is held against.
"""

import json
import os
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tokensieve.jobs.source.schema import spark_field
from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig
from tokensieve.udfs.reading.fault_reasons import UNREADABLE_FILE, VANISHED_FILE
from tokensieve.udfs.reading.json_lines import INFERRED_BYTES, INFERRED_LINES, numbered_lines
from tokensieve.udfs.reading.line_marks import line_marks
from tokensieve.udfs.reading.parquet_rows import open_parquet
from tokensieve.udfs.reading.read_shard import file_version
from tokensieve.udfs.reading.split import Split

MOST_MARKS = 4_096  # of one JSONL file
MOST_PASSES = 32
"""Splits of what can only be read from its beginning, a row group or a compressed file: each reads all before it."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A readable file: its splits are row groups, or runs of JSON lines."""

    name: str
    version: str
    schema: pa.Schema
    splits: tuple[Split, ...]


@dataclass(frozen=True, kw_only=True)
class BrokenFile:
    """A file that cannot be scored at all; it counts as one quarantined document."""

    name: str
    version: str
    reason: str
    detail: str


def inspect(path: str, root: str, format: str, text: str, storage: StorageConfig = PROVIDERS_OWN) -> Shard | BrokenFile:
    """Looks at one file; `text` is the column whose bytes are the splits' work.

    Raises StoreError when a store does not give the file, which is no fault of the file.
    """
    name = os.path.relpath(path, root)
    version = ""
    try:
        version = file_version(path, storage)
        if format == "jsonl":
            splits, schema = _json_splits(path, name, version, storage), _json_schema(path, storage)
        else:
            splits, schema = _parquet_splits(path, name, version, text, storage)
    except FileNotFoundError as error:
        # Without a version, so that it is another file than before when it is back, even with its old time and size.
        return _broken(name, "", VANISHED_FILE, error)
    except (pa.ArrowException, OSError, EOFError) as error:
        return _broken(name, version, UNREADABLE_FILE, error)
    return Shard(name=name, version=version, schema=schema, splits=splits)


def _broken(name: str, version: str, reason: str, error: Exception) -> BrokenFile:
    return BrokenFile(name=name, version=version, reason=reason, detail=f"{type(error).__name__}: {error}")


def _parquet_splits(
    path: str, name: str, version: str, text: str, storage: StorageConfig
) -> tuple[tuple[Split, ...], pa.Schema]:
    """One split per row group that has rows."""
    splits, first = [], 0
    with open_parquet(path, storage) as file:
        about = file.metadata
        column = next((at for at in range(about.num_columns) if about.schema.column(at).path == text), None)
        for group in range(about.num_row_groups):
            part = about.row_group(group)
            size = part.total_byte_size if column is None else part.column(column).total_uncompressed_size
            where = dict(group=group, first=first, rows=part.num_rows, start=0, end=part.num_rows, text_bytes=size)
            splits.append(Split(path=path, name=name, version=version, format="parquet", **where))
            first += part.num_rows
        schema = pa.schema([spark_field(field) for field in file.schema_arrow])
    return tuple(split for split in splits if split.rows), schema


def _json_splits(path: str, name: str, version: str, storage: StorageConfig) -> tuple[Split, ...]:
    """One split per run of lines between two marks."""
    compressed = not path.endswith((".jsonl", ".json"))
    marks = line_marks(path, MOST_PASSES if compressed else MOST_MARKS, storage)
    starts, lines, rows = (one.tolist() for one in (marks.bytes_M1, marks.lines_M1, marks.rows_M1))
    splits = (
        Split(
            path=path,
            name=name,
            version=version,
            format="jsonl",
            group=0,
            first=lines[at],
            rows=rows[at + 1] - rows[at],
            start=starts[at],
            end=starts[at + 1],
            text_bytes=starts[at + 1] - starts[at],
        )
        for at in range(len(starts) - 1)
    )
    return tuple(split for split in splits if split.rows)


def _json_schema(path: str, storage: StorageConfig) -> pa.Schema:
    """The columns that the first readable lines infer."""
    sample, seen = [], 0
    for _, line in numbered_lines(path, storage=storage):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):  # a text's type is all that counts here
            sample.append({key: "" if isinstance(value, str) else value for key, value in record.items()})
        seen += len(line)
        if len(sample) == INFERRED_LINES or seen > INFERRED_BYTES:
            break
    names = dict.fromkeys(name for record in sample for name in record)
    types = {name: _inferred([record.get(name) for record in sample]) for name in names}
    return pa.schema([spark_field(pa.field(name, kind)) for name, kind in types.items()])


def _inferred(values: list[Any]) -> pa.DataType:
    """The values' type; where types exclude each other the first wins, and other rows are quarantined when read."""
    try:
        return pa.array(values).type
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        half = values[: len(values) // 2]
        return _inferred(half) if half else pa.null()
