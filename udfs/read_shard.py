"""Reads one split of a shard inside an executor: rows with their provenance, faults as rows of their own.

Reading here and not through Spark's sources costs predicate push-down, and buys containment: one corrupt page or
malformed line costs its rows a place in the quarantine, with file and row, and never the job.
"""

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 256
BATCH_BYTES = 16 * 2**20

PROVENANCE = (
    pa.field("source_file", pa.string()),
    pa.field("source_version", pa.string()),
    pa.field("source_row", pa.int64()),
)


@dataclass(frozen=True, kw_only=True)
class Split:
    """A run of rows of one file that one task reads: for Parquet whole row groups, for JSONL the whole file."""

    path: str
    name: str  # below the source's root: what tables call the file
    version: str
    format: str
    row_groups: tuple[tuple[int, int, int], ...]  # (row group, first row, rows); JSONL: one (0, 0, rows)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Readable rows: the source's columns in the planned schema, then PROVENANCE."""

    batch: pa.RecordBatch


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Rows that could not be read: file-wise row numbers and, for all of them, why."""

    split: Split
    rows: tuple[int, ...]
    reason: str
    detail: str


def file_version(path: str) -> str:
    """Size and modification time in nanoseconds, `<bytes>-<ns>`: what tells a republished file from the old one."""
    status = os.stat(path)
    return f"{status.st_size}-{status.st_mtime_ns}"


def read_split(split: Split, schema: pa.Schema) -> Iterator[Rows | Faults]:
    """Yields every row of the split once, in order within each row group, as Rows or as Faults."""
    every_row = tuple(row for _, first, count in split.row_groups for row in range(first, first + count))
    try:
        version = file_version(split.path)
    except FileNotFoundError as error:
        yield Faults(split=split, rows=every_row, reason="vanished_file", detail=str(error))
        return
    if version != split.version:
        detail = f"listed as {split.version}, found {version}; score the source again"
        yield Faults(split=split, rows=every_row, reason="changed_file", detail=detail)
        return
    reader = _read_json_lines if split.format == "jsonl" else _read_row_groups
    yield from reader(split, schema)


def _read_row_groups(split: Split, schema: pa.Schema) -> Iterator[Rows | Faults]:
    for group, first, count in split.row_groups:
        done = 0
        try:
            with pq.ParquetFile(split.path) as file:
                for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=schema.names):
                    yield from _small(_with_provenance(_conform(batch, schema), split, first + done))
                    done += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            rows = tuple(range(first + done, first + count))
            yield Faults(split=split, rows=rows, reason="corrupt_rows", detail=f"row group {group}: {error}")


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The planned columns in the planned order and type; a column that this file lacks is null."""
    columns = []
    for field in schema:
        at = batch.schema.get_field_index(field.name)
        columns.append(pa.nulls(batch.num_rows, field.type) if at < 0 else batch.column(at).cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _read_json_lines(split: Split, schema: pa.Schema) -> Iterator[Rows | Faults]:
    kept: list[tuple[int, dict[str, Any]]] = []
    size, known = 0, set(schema.names)
    for row, line in numbered_lines(split.path):
        try:
            record = json.loads(line)
        except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
            yield Faults(split=split, rows=(row,), reason="malformed_json", detail=str(error))
            continue
        if not isinstance(record, dict):
            detail = f"a JSON {type(record).__name__}, not an object"
            yield Faults(split=split, rows=(row,), reason="malformed_json", detail=detail)
            continue
        if unknown := record.keys() - known:
            detail = f"keys that the file's first 1,000 lines lack: {', '.join(sorted(unknown))}"
            yield Faults(split=split, rows=(row,), reason="schema_mismatch", detail=detail)
            continue
        kept.append((row, record))
        size += len(line)
        if len(kept) == BATCH_ROWS or size > BATCH_BYTES:
            yield from _convert(kept, split, schema)
            kept, size = [], 0
    yield from _convert(kept, split, schema)


def numbered_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Non-blank lines with their number from 0; the compression is told by the file's name."""
    with pa.input_stream(path, compression="detect") as stream:
        for row, line in enumerate(io.BufferedReader(stream)):
            if line.strip():
                yield row, line


def _convert(kept: list[tuple[int, dict[str, Any]]], split: Split, schema: pa.Schema) -> Iterator[Rows | Faults]:
    """Rows as one batch; if a value does not fit, row by row, so that only the culprits fault."""
    if not kept:
        return
    try:
        batch = _to_batch([record for _, record in kept], schema)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        if len(kept) > 1:
            for one in kept:
                yield from _convert([one], split, schema)
            return
        reason = "invalid_text" if isinstance(error, UnicodeEncodeError) else "wrong_type"
        yield Faults(split=split, rows=(kept[0][0],), reason=reason, detail=str(error))
        return
    yield from _small(_with_provenance(batch, split, pa.array([row for row, _ in kept], pa.int64())))


def _to_batch(records: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([record.get(field.name) for record in records], field.type) for field in schema], schema=schema
    )


def _with_provenance(batch: pa.RecordBatch, split: Split, rows: int | pa.Array) -> pa.RecordBatch:
    count = batch.num_rows
    row_numbers = pa.array(range(rows, rows + count), pa.int64()) if isinstance(rows, int) else rows
    columns = [pa.repeat(pa.scalar(value), count) for value in (split.name, split.version)]
    return pa.RecordBatch.from_arrays(
        [*batch.columns, *columns, row_numbers], schema=pa.schema([*batch.schema, *PROVENANCE])
    )


def _small(batch: pa.RecordBatch) -> Iterator[Rows]:
    """Halves a batch until its parts fit the memory planned for one, or hold one row."""
    if batch.num_rows <= 1 or batch.nbytes <= BATCH_BYTES:
        yield Rows(batch=batch)
        return
    half = batch.num_rows // 2
    yield from _small(batch.slice(0, half))
    yield from _small(batch.slice(half))
