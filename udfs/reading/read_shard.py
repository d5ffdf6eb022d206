"""Reads one split of a shard inside an executor: rows with their provenance, faults as rows of their own.

Reading here and not through Spark's sources costs predicate push-down, and buys containment: one corrupt page or
malformed line costs its rows a place in the quarantine, with file and row, and never the job.
"""

import os
from collections.abc import Iterator

import pyarrow as pa

from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig, is_remote
from tokensieve.udfs.reading.fault_reasons import CHANGED_FILE, VANISHED_FILE
from tokensieve.udfs.reading.json_lines import numbered_lines, read_json_lines
from tokensieve.udfs.reading.parquet_rows import read_row_group
from tokensieve.udfs.reading.parts import PROVENANCE, Faults, Rows
from tokensieve.udfs.reading.remote_file import remote_version
from tokensieve.udfs.reading.split import Split

__all__ = ["PROVENANCE", "Faults", "Rows", "Split", "file_version", "numbered_lines", "read_split"]


def file_version(path: str, storage: StorageConfig = PROVIDERS_OWN) -> str:
    """What tells a republished file from the old one: `<bytes>-<modification time in ns>`, on a store `<bytes>-<etag>`.

    Raises OSError, for a file of a store FileNotFoundError or StoreError (`udfs.files.storage.version_of`).
    """
    if is_remote(path):
        return remote_version(path, storage)
    status = os.stat(path)
    return f"{status.st_size}-{status.st_mtime_ns}"


def read_split(split: Split, schema: pa.Schema, storage: StorageConfig = PROVIDERS_OWN) -> Iterator[Rows | Faults]:
    """Yields every row of the split once, as Rows or as Faults, in batches of bounded size (udfs/reading/parts.py).

    Raises StoreError when a store does not give the file: that says nothing about its rows.
    """
    every_row = range(split.first, split.first + split.rows)
    try:
        version = file_version(split.path, storage)
    except FileNotFoundError as error:
        yield Faults(split=split, rows=every_row, reason=VANISHED_FILE, detail=str(error))
        return
    if version != split.version:
        detail = f"listed as {split.version}, found {version}; score the source again"
        yield Faults(split=split, rows=every_row, reason=CHANGED_FILE, detail=detail)
        return
    reader = read_json_lines if split.format == "jsonl" else read_row_group
    yield from reader(split, schema, storage)
