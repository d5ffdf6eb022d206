"""The source as documents for labellers: one DataFrame of DOCUMENT_SCHEMA, and how many rows it must have.

Files that a labelling verb leaves beside its tables are replaced whole: a reader sees the old one or the new one.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.source.scan import Carried, scan, whole_files
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.udfs.labels.labels import DOCUMENT_SCHEMA
from tokensieve.udfs.reading.text_rows import made_id

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The source: `frame` has DOCUMENT_SCHEMA and `count` rows; `versions` names the files that it was read from."""

    frame: "DataFrame"
    count: int
    versions: dict[str, Any]


@contextmanager
def documents(source: SourceConfig, spark: "SparkSession", carried: Carried = ()) -> Iterator[Documents]:
    """The source's documents; whatever runs on the frame must run inside.

    `carried` adds columns of the source, (name in the frame, name in the source); `source_file` is one of them.
    Raises InputError as `scan` does, and for a column that the source lacks.
    """
    found = scan(source, spark)
    frame = found.texts(spark, carried)
    if found.broken:
        rows = [(made_id(one.name, -1), None, None, f"{one.reason}: {one.name}: {one.detail}") for one in found.broken]
        columns = ", ".join(f"{name} string" for name in DOCUMENT_SCHEMA.names)
        frame = frame.unionByName(spark.createDataFrame(rows, columns), allowMissingColumns=True)
    with whole_files(spark):
        yield Documents(frame=frame, count=found.documents, versions=found.versions)


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
