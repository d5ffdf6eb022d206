"""Reads one row's text back from the source, to hold it against what the tables say about it.

Nothing here trusts the tables: the file may have been replaced, cut or removed since it was scored, and then says so.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.source.files import source_path, source_root
from tokensieve.jobs.source.scan import whole_files
from tokensieve.udfs.files.storage import StoreError
from tokensieve.udfs.reading.json_lines import numbered_lines
from tokensieve.udfs.reading.parquet_rows import open_parquet, steps
from tokensieve.udfs.reading.read_shard import file_version

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, kw_only=True)
class RawRow:
    """A row as the source has it now. Where `text` is None, `fault` says why."""

    path: str
    version: str | None
    text: str | None
    fault: str | None = None


def read_raw_row(
    config: SourceConfig, spark: "SparkSession", file: str, row: int | None, version: str | None
) -> RawRow:
    """Row `row` of `file`, a name as the tables have it. `version` is the scored one; Delta is read as of it."""
    if config.format == "delta":
        return _from_delta(config, spark, file, row, version)
    path = f"{source_root(config)}/{file}"
    now = None
    if Path(file).is_absolute() or ".." in Path(file).parts:
        return RawRow(path=path, version=None, text=None, fault="the name leads out of the source's folder")
    try:
        now = file_version(path, config.storage)
        if row is None:
            return RawRow(path=path, version=now, text=None, fault="the whole file was quarantined, not one row")
        text = (_from_json_lines if config.format == "jsonl" else _from_parquet)(path, row, config)
    except FileNotFoundError:
        return RawRow(path=path, version=None, text=None, fault="the file is no longer there")
    except StoreError as error:
        return RawRow(path=path, version=now, text=None, fault=f"the store does not give it: {error}")
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        return RawRow(path=path, version=now, text=None, fault=f"{type(error).__name__}: {error}")
    if not isinstance(text, str):
        return RawRow(path=path, version=now, text=None, fault=f"holds no text but {type(text).__name__}")
    return RawRow(path=path, version=now, text=text)


def _from_parquet(path: str, row: int, config: SourceConfig) -> Any:
    column = config.columns.text
    with open_parquet(path, config.storage) as file:
        for group in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row >= rows:
                row -= rows
                continue
            for batch in steps(file, group, [column]):
                if row < batch.num_rows:
                    return batch.column(column)[row].as_py()
                row -= batch.num_rows
    raise IndexError("the file has fewer rows now")


def _from_json_lines(path: str, row: int, config: SourceConfig) -> Any:
    for number, line in numbered_lines(path, storage=config.storage):
        if number == row:
            return json.loads(line)[config.columns.text]
    raise IndexError("the file has fewer lines now")


def _from_delta(config: SourceConfig, spark: "SparkSession", file: str, row: int | None, version: str | None) -> RawRow:
    from pyspark.sql import functions as F

    path = source_path(config)
    reader = spark.read.format("delta")
    if version:  # delta-<version of the table>
        reader = reader.option("versionAsOf", version.removeprefix("delta-"))
    # A row's number is its place in its file. Delta has no column for it: with one file per task, Spark counts it.
    number = F.monotonically_increasing_id().bitwiseAND(2**33 - 1)
    rows = reader.load(path).select(
        F.col(config.columns.text).alias("text"), F.col("_metadata.file_name").alias("file"), number.alias("row")
    )
    with whole_files(spark):
        found = rows.where((F.col("file") == file) & (F.col("row") == row)).first()
    text = found["text"] if found else None
    return RawRow(path=path, version=version, text=text, fault=_delta_fault(found))


def _delta_fault(found: Any) -> str | None:
    if found is None:
        return "no such row in the Delta table"
    return "holds no text but NoneType" if found["text"] is None else None
