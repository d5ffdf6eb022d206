"""Rows of a JSONL file or of a range of its bytes: each line that is no object of the planned columns faults alone.

A compressed file has no place to start but its beginning, so a range of it decompresses what lies before and drops it.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig, is_remote
from tokensieve.udfs.reading.fault_reasons import INVALID_TEXT, MALFORMED_JSON, SCHEMA_MISMATCH, WRONG_TYPE
from tokensieve.udfs.reading.parts import BATCH_BYTES, BATCH_ROWS, Faults, Rows, gathered, with_provenance
from tokensieve.udfs.reading.remote_file import RemoteFile
from tokensieve.udfs.reading.split import Split

READ_BUFFER = 2**20
REMOTE_BUFFER = 8 * 2**20  # one request to a store
COMPRESSIONS = {"gz": "gzip", "zst": "zstd"}  # of a store's files; of others Arrow knows them
INFERRED_LINES = 1_000
INFERRED_BYTES = 64 * 2**20  # the columns are those of the file's first lines, so many or so many bytes of them

Numbered = tuple[int, bytes]


def open_lines(
    path: str, start: int = 0, storage: StorageConfig = PROVIDERS_OWN, version: str | None = None
) -> pa.NativeFile:
    """The file's uncompressed bytes from `start` on; the compression is told by the file's name.

    Raises StoreError as `RemoteFile`, which takes `storage` and `version`.
    """
    if is_remote(path):
        file = io.BufferedReader(RemoteFile(path, storage, version), REMOTE_BUFFER)
        stream = pa.input_stream(file, compression=COMPRESSIONS.get(path.rpartition(".")[2]))
    else:
        stream = pa.input_stream(path, compression="detect")
    if stream.seekable():
        stream.seek(start)
        return stream
    while start:
        start -= len(stream.read(min(start, READ_BUFFER))) or start  # a stream that ends too early has no more lines
    return stream


def numbered_lines(
    path: str,
    first: int = 0,
    start: int = 0,
    end: int | None = None,
    storage: StorageConfig = PROVIDERS_OWN,
    version: str | None = None,
) -> Iterator[Numbered]:
    """Non-blank lines with their number, counted from `first`; from byte `start`, a line's beginning, to byte `end`."""
    with open_lines(path, start, storage, version) as stream:
        for row, line in enumerate(io.BufferedReader(stream, READ_BUFFER), first):  # type: ignore[type-var]
            if end is not None and start >= end:
                return
            start += len(line)
            if not line.isspace():
                yield row, line


def read_json_lines(split: Split, schema: pa.Schema, storage: StorageConfig = PROVIDERS_OWN) -> Iterator[Rows | Faults]:
    """Every line of the split once that is not blank."""
    kept: list[tuple[int, dict[str, Any]]] = []
    size, known = 0, frozenset(schema.names)
    for row, line in numbered_lines(split.path, split.first, split.start, split.end, storage, split.version):
        record = _record(line, known)
        if isinstance(record, tuple):
            yield Faults(split=split, rows=(row,), reason=record[0], detail=record[1])
            continue
        if kept and (len(kept) == BATCH_ROWS or size + len(line) > BATCH_BYTES):
            yield from _convert(kept, split, schema)
            kept, size = [], 0
        kept.append((row, record))
        size += len(line)
    yield from _convert(kept, split, schema)


def _record(line: bytes, known: frozenset[str]) -> dict[str, Any] | tuple[str, str]:
    """The line's object, or (reason, detail)."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        return MALFORMED_JSON, str(error)
    if not isinstance(record, dict):
        return MALFORMED_JSON, f"a JSON {type(record).__name__}, not an object"
    if unknown := record.keys() - known:
        names = ", ".join(sorted(unknown))
        return SCHEMA_MISMATCH, f"keys that the file's first {INFERRED_LINES:,} lines lack: {names}"
    return record


def _convert(kept: list[tuple[int, dict[str, Any]]], split: Split, schema: pa.Schema) -> Iterator[Rows | Faults]:
    """Rows as one batch; if a value does not fit, row by row, so that only the culprits fault."""
    if not kept:
        return
    try:
        batch = _to_batch([record for _, record in kept], schema)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        if len(kept) > 1:
            half = len(kept) // 2
            yield from _convert(kept[:half], split, schema)
            yield from _convert(kept[half:], split, schema)
            return
        reason = INVALID_TEXT if isinstance(error, UnicodeEncodeError) else WRONG_TYPE
        yield Faults(split=split, rows=(kept[0][0],), reason=reason, detail=str(error))
        return
    rows = pa.array([row for row, _ in kept], pa.int64())
    yield from (Rows(batch=part) for part in gathered([with_provenance(batch, split, rows)]))


def _to_batch(records: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([record.get(field.name) for record in records], field.type) for field in schema], schema=schema
    )
