"""The source as documents for labellers: one DataFrame of DOCUMENT_SCHEMA, and how many rows it must have."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.scoring.scan import Carried, scan, whole_files
from jobs.scoring.source import SourceConfig
from udfs.labels import DOCUMENT_SCHEMA
from udfs.text_rows import made_id

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
