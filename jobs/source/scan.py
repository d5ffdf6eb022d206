"""The source on Spark: what to read, which tasks read it, and its documents as plain rows.

Parquet and JSONL are listed here and read by executors (udfs/reading), each task by its own splits; Delta is read by
Spark, whose snapshots know about partition values and deletion vectors.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tokensieve.jobs.config.score import PARTITION_MB
from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.source.files import id_column, source_path
from tokensieve.jobs.source.inspect_file import BrokenFile
from tokensieve.jobs.source.listing import Found, Listing, Work, list_files
from tokensieve.jobs.source.partitions import partitions
from tokensieve.udfs.labels.read_documents import ReadPlan, read_splits, read_table_rows
from tokensieve.udfs.reading.parts import PROVENANCE
from tokensieve.udfs.reading.split import Split, task_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


Carried = tuple[tuple[str, str], ...]  # columns that come along: (name in the output, name in the source)


def scan(source: SourceConfig, spark: "SparkSession", partition_mb: float = PARTITION_MB) -> "FileScan | TableScan":
    """Looks at the source; `partition_mb` megabytes of text are one task's, where Spark does not read the files itself.

    Raises InputError when there is nothing that can be scored.
    """
    return TableScan(source, spark) if source.format == "delta" else FileScan(source, partition_mb)


class FileScan:
    """Parquet or JSONL: listed by the driver, read by executors."""

    def __init__(
        self,
        source: SourceConfig,
        partition_mb: float = PARTITION_MB,
        names: Collection[str] | None = None,
        settled: pa.Schema | None = None,
        found: Found | None = None,
    ) -> None:
        """`names`, `settled`, `found`: as `jobs.source.listing.list_files`."""
        self.listing: Listing = list_files(source, names, settled, found)
        self.partition_bytes = max(1, int(partition_mb * 2**20))
        self.schema = self.listing.schema
        self.storage = source.storage
        self.broken = self.listing.broken
        self.documents = self.listing.documents
        self.amount: Work = self.listing.amount
        self.versions: dict[str, Any] = dict(self.listing.files)

    def texts(self, spark: "SparkSession", carried: Carried = ()) -> "DataFrame":
        """The readable part of the source as `ReadPlan.output_schema`. Raises InputError as `_output_schema`."""
        listing = self.listing
        plan = ReadPlan(schema=listing.schema, text=listing.text, id=listing.id, carried=carried, storage=self.storage)
        return self.tasks(spark).mapInArrow(partial(read_splits, plan), schema=_output_schema(plan))

    def tasks(self, spark: "SparkSession") -> "DataFrame":
        """One row for each task, its splits in it."""
        size = self.partition_bytes
        return spread(spark, partitions(self.listing.splits, target_bytes=size, slots=slots(spark)))


def spread(spark: "SparkSession", tasks: Sequence[Sequence[Split]]) -> "DataFrame":
    """A partition with one row of `udfs.reading.split.TASK_SCHEMA` for each task, in their order.

    The rows go through a shuffle of a few kilobytes: a range of n distinct numbers over n partitions puts each in its
    own, and a task that runs again finds the same row.
    """
    return spark.createDataFrame(task_table(tasks)).repartitionByRange(max(1, len(tasks)), "task")


def slots(spark: "SparkSession") -> int:
    """Tasks that the session would run at a time, as far as Spark says."""
    from pyspark.sql import functions as F

    if hasattr(spark, "_jsparkSession"):
        return spark.sparkContext.defaultParallelism
    return spark.range(2**16).select(F.spark_partition_id()).distinct().count()  # Spark Connect has no context


class TableScan:
    """Delta: Spark reads the snapshot, one whole file a task, so that executors can number its rows."""

    def __init__(self, source: SourceConfig, spark: "SparkSession") -> None:
        from pyspark.errors import AnalysisException
        from pyspark.sql.pandas.types import to_arrow_schema

        path, columns = source_path(source), source.columns
        try:
            # SQL, since delta.tables.DeltaTable needs a plug-in of its own over Spark Connect.
            history = spark.sql("DESCRIBE HISTORY delta.`{}` LIMIT 1".format(path.replace("`", "``")))
            version = history.select("version").first()
        except AnalysisException as error:
            raise InputError(f"source.path: {source.path} is not a Delta table: {error}") from error
        assert version is not None
        self.rows = spark.read.format("delta").option("versionAsOf", version["version"]).load(path)
        self.schema = to_arrow_schema(self.rows.schema)
        if columns.text not in self.schema.names or self.schema.field(columns.text).type != pa.string():
            raise InputError(f"source.columns.text: {source.path} has no string column {columns.text!r}")
        self.columns = columns
        self.broken: tuple[BrokenFile, ...] = ()
        self.documents = self.rows.count()
        self.amount = Work(documents=self.documents, text_bytes=None)
        self.versions: dict[str, Any] = {"delta_version": version["version"]}

    def texts(self, spark: "SparkSession", carried: Carried = ()) -> "DataFrame":
        """The table as `ReadPlan.output_schema`; the caller wraps what it runs in `whole_files`."""
        id_name = id_column(self.columns, self.schema.names)
        plan = ReadPlan(schema=self.schema, text=self.columns.text, id=id_name, carried=carried)
        return self.provenanced().mapInArrow(partial(read_table_rows, plan), schema=_output_schema(plan))

    def provenanced(self) -> "DataFrame":
        """The snapshot's rows with their file and version."""
        from pyspark.sql import functions as F

        return self.rows.select(
            "*",
            F.col("_metadata.file_name").alias(PROVENANCE[0].name),
            F.lit(f"delta-{self.versions['delta_version']}").alias(PROVENANCE[1].name),
        )


@contextmanager
def whole_files(spark: "SparkSession") -> Iterator[None]:
    """While inside, Spark gives each file of a table a task of its own: Delta has no row number, so we count rows."""
    settings = ("spark.sql.files.maxPartitionBytes", "spark.sql.files.openCostInBytes")
    before = {key: spark.conf.get(key) for key in settings}
    try:
        for key in settings:
            spark.conf.set(key, 2**40)
        yield
    finally:
        for key, value in before.items():
            spark.conf.set(key, value or "")


def _output_schema(plan: ReadPlan) -> Any:
    """Raises InputError for a carried column that the source lacks."""
    try:
        return spark_schema(plan.output_schema())
    except KeyError as error:
        raise InputError(f"source: no column {error}; columns: {', '.join(plan.schema.names)}") from None


def spark_schema(schema: pa.Schema) -> Any:
    """The Spark schema of an Arrow one. Raises InputError for a column type that Spark does not have."""
    from pyspark.errors import PySparkTypeError
    from pyspark.sql.pandas.types import from_arrow_schema

    try:
        return from_arrow_schema(schema)
    except PySparkTypeError as error:
        raise InputError(f"source: Spark has no type for one of the columns {schema.names}: {error}") from error
