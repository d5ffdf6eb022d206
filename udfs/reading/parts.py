"""What reading yields: batches of readable rows, and rows that could not be read, of a size that memory is planned for.

Rows come in large batches, since every batch costs its own overhead downstream; bytes are bounded first.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tokensieve.udfs.reading.split import Split

BATCH_ROWS = 8_192
BATCH_BYTES = 2 * 2**20

PROVENANCE = (
    pa.field("source_file", pa.string()),
    pa.field("source_version", pa.string()),
    pa.field("source_row", pa.int64()),
)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Readable rows: the source's columns in the planned schema, then PROVENANCE."""

    batch: pa.RecordBatch


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Rows that could not be read: file-wise row numbers and, for all of them, why."""

    split: Split
    rows: Sequence[int]
    reason: str
    detail: str


def with_provenance(batch: pa.RecordBatch, split: Split, rows: int | pa.Array) -> pa.RecordBatch:
    """The batch with file, version and row; `rows` is the first row's number, or int64 every row's."""
    count = batch.num_rows
    row_numbers = pa.array(range(rows, rows + count), pa.int64()) if isinstance(rows, int) else rows
    columns = [pa.repeat(pa.scalar(value), count) for value in (split.name, split.version)]
    return pa.RecordBatch.from_arrays(
        [*batch.columns, *columns, row_numbers], schema=pa.schema([*batch.schema, *PROVENANCE])
    )


def numbered_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of one whole file with file and version, and the row added: its place among all as they come."""
    first = 0
    for batch in batches:
        rows = pa.array(range(first, first + batch.num_rows), pa.int64())
        first += batch.num_rows
        yield batch.append_column(PROVENANCE[2], rows)


def gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at most BATCH_ROWS and BATCH_BYTES; a larger row is a batch of its own."""
    kept: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in (part for whole in batches for part in _small(whole)):
        if kept and (rows + batch.num_rows > BATCH_ROWS or size + batch.nbytes > BATCH_BYTES):
            yield _joined(kept)
            kept, rows, size = [], 0, 0
        kept.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
    if kept:
        yield _joined(kept)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _small(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves a batch until its parts fit the memory planned for one, or hold one row."""
    if batch.num_rows <= 1 or batch.nbytes <= BATCH_BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _small(batch.slice(0, half))
    yield from _small(batch.slice(half))
