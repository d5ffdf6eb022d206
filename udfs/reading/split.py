"""A run of rows of one file, and how the splits of a task travel to it: as one row of a DataFrame.

A row holds its own splits only, so that a task of a source of 100,000 files is sent kilobytes. Structs and not a
pickle: what arrives is data.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

SPLIT_TYPE = pa.struct(
    [
        pa.field("path", pa.string()),
        pa.field("name", pa.string()),
        pa.field("version", pa.string()),
        pa.field("format", pa.string()),
        pa.field("group", pa.int32()),
        pa.field("first", pa.int64()),
        pa.field("rows", pa.int64()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("text_bytes", pa.int64()),
    ]
)
TASK_SCHEMA = pa.schema([pa.field("task", pa.int32()), pa.field("splits", pa.list_(SPLIT_TYPE))])


@dataclass(frozen=True, kw_only=True)
class Split:
    """A run of rows of one file that one task reads.

    Attributes:
        path: where the file lies. name: its name below the source's root, which tables use.
        version: see `udfs.reading.read_shard.file_version`.
        format: parquet or jsonl.
        group: the Parquet row group; 0 for JSONL.
        first: row of the file (JSONL: line) at which the split begins.
        rows: how many rows it has; of JSONL only lines that are not blank count.
        start, end: for Parquet rows of the row group, for JSONL bytes of the uncompressed stream, at line starts.
        text_bytes: about how much text that is; from the footer's uncompressed size, or the lines' bytes.
    """

    path: str
    name: str
    version: str
    format: str
    group: int
    first: int
    rows: int
    start: int
    end: int
    text_bytes: int


def task_table(tasks: Sequence[Sequence[Split]]) -> pa.Table:
    """One row of TASK_SCHEMA for each task, numbered from 0."""
    splits = [[asdict(split) for split in task] for task in tasks]
    return pa.table([pa.array(range(len(tasks)), pa.int32()), pa.array(splits, TASK_SCHEMA.types[1])], TASK_SCHEMA)


def sent_splits(batches: Iterable[pa.RecordBatch]) -> Iterator[Split]:
    """The splits in rows of TASK_SCHEMA, in their order."""
    for batch in batches:
        for splits in batch.column("splits").to_pylist():
            yield from (Split(**split) for split in splits)
