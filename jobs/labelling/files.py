"""Files that a labelling verb leaves beside its tables: a reader sees the old one or the whole new one."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from pretrain.hashed_file import replace_file


def write_table(file: Path, table: pa.Table) -> None:
    """Writes a table as Parquet; it must fit the driver's memory."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    _write(file, sink.getvalue().to_pybytes())


def write_json(file: Path, content: dict[str, JsonValue]) -> None:
    """Writes JSON for people and programs."""
    _write(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, data)
