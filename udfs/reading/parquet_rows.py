"""Rows of a Parquet row group, decoded page by page: memory holds a few pages of each column and a batch of rows.

A row group has no place to start but its beginning, so a split of its later rows decodes the earlier ones and drops
them; that is little against a classifier. Bounded as far as the writer's pages are: a page is decoded whole. On a store
requests are what costs, so a row group that is not large comes by one or few of them and lies in memory compressed.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig, is_remote
from tokensieve.udfs.reading.fault_reasons import CORRUPT_ROWS
from tokensieve.udfs.reading.parts import BATCH_BYTES, Faults, Rows, gathered, with_provenance
from tokensieve.udfs.reading.remote_file import RemoteFile
from tokensieve.udfs.reading.split import Split

# One step of decoding; what a damaged page takes with it.
STEP_ROWS = 256
# Without a buffer a whole column chunk of the row group would be read at once.
READ_BUFFER = 2**20
# Of a store: one request, for a column of a row group larger than WHOLE_BYTES compressed.
REMOTE_BUFFER = 4 * 2**20
WHOLE_BYTES = 32 * 2**20


def open_parquet(
    path: str, storage: StorageConfig = PROVIDERS_OWN, version: str | None = None, group: int | None = None
) -> pq.ParquetFile:
    """The file, to be read with `steps`; `group` is the row group that will be, where one is.

    Raises StoreError as `RemoteFile`, which takes `storage` and `version`.
    """
    if not is_remote(path):
        return pq.ParquetFile(path, buffer_size=READ_BUFFER, pre_buffer=False)
    file = RemoteFile(path, storage, version)
    about = pq.read_metadata(file)
    if group is not None and _compressed(about, group) <= WHOLE_BYTES:
        return pq.ParquetFile(file, metadata=about, pre_buffer=True)
    return pq.ParquetFile(file, metadata=about, buffer_size=REMOTE_BUFFER, pre_buffer=False)


def _compressed(about: pq.FileMetaData, group: int) -> int:
    part = about.row_group(group)
    return sum(part.column(at).total_compressed_size for at in range(part.num_columns))


def steps(file: pq.ParquetFile, group: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """A row group's rows in batches of a size that depends on the row group alone, so that every split cuts alike."""
    about = file.metadata.row_group(group)
    row_bytes = about.total_byte_size // max(about.num_rows, 1)
    rows = min(STEP_ROWS, max(1, BATCH_BYTES // max(row_bytes, 1)))
    yield from file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)


def read_row_group(split: Split, schema: pa.Schema, storage: StorageConfig = PROVIDERS_OWN) -> Iterator[Rows | Faults]:
    """Every row of the split once; from the first page on that cannot be decoded, its rows are faults."""
    reader = _Reader(split, schema, storage)
    for batch in gathered(reader):
        yield Rows(batch=batch)
    if reader.fault:
        rows = range(split.first + reader.done, split.first + split.rows)
        yield Faults(split=split, rows=rows, reason=CORRUPT_ROWS, detail=reader.fault)


class _Reader:
    """Iterates over the split's batches; then `done` rows are out, and `fault` says why not all."""

    def __init__(self, split: Split, schema: pa.Schema, storage: StorageConfig) -> None:
        self.split, self.schema, self.storage = split, schema, storage
        self.done = 0
        self.fault: str | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        split, at = self.split, 0
        try:
            with open_parquet(split.path, self.storage, split.version, split.group) as file:
                for batch in steps(file, split.group, self.schema.names):
                    kept = batch.slice(min(max(split.start - at, 0), batch.num_rows), split.end - max(at, split.start))
                    at += batch.num_rows
                    if kept.num_rows:
                        yield with_provenance(_conform(kept, self.schema), split, split.first + self.done)
                        self.done += kept.num_rows
                    if at >= split.end:
                        return
        except (pa.ArrowException, OSError) as error:
            self.fault = f"row group {split.group}: {error}"


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The planned columns in the planned order and type; a column that this file lacks is null."""
    columns = []
    for field in schema:
        at = batch.schema.get_field_index(field.name)
        columns.append(pa.nulls(batch.num_rows, field.type) if at < 0 else batch.column(at).cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
