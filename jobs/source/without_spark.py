"""The source as a dry run sees it: its splits and counts, without a Spark session where files can be read directly."""

from dataclasses import dataclass
from urllib.parse import unquote, urlparse

import pyarrow as pa

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.source.inspect_file import Shard, inspect
from tokensieve.jobs.source.listing import list_files
from tokensieve.jobs.spark.session import SparkConfig
from tokensieve.udfs.files.storage import is_remote
from tokensieve.udfs.reading.split import Split


@dataclass(frozen=True, kw_only=True)
class PlannedSource:
    """What would be scored.

    Attributes:
        text_bytes: of the splits; `exact_bytes`: they are of the text alone, as footers know them.
        own_tasks: the splits are packed into tasks by us, not by Spark.
    """

    splits: tuple[Split, ...]
    schema: pa.Schema
    text: str
    id: str | None
    documents: int
    broken_files: int
    exact_bytes: bool
    own_tasks: bool

    @property
    def text_bytes(self) -> int:
        """Bytes of text as listed."""
        return sum(split.text_bytes for split in self.splits)


def planned_source(source: SourceConfig, spark: SparkConfig) -> PlannedSource:
    """Looks at the source; `spark` is for a Delta table alone. Raises InputError as the verb itself."""
    if source.format == "delta":
        return _delta(source, spark)
    listing = list_files(source)
    return PlannedSource(
        splits=listing.splits,
        schema=listing.schema,
        text=listing.text,
        id=listing.id,
        documents=listing.amount.documents,
        broken_files=len(listing.broken),
        exact_bytes=listing.amount.text_bytes is not None,
        own_tasks=True,
    )


def _delta(source: SourceConfig, spark: SparkConfig) -> PlannedSource:
    """The files of the snapshot, read as the Parquet files that they are: a deleted row may get into the sample."""
    from tokensieve.jobs.source.files import id_column
    from tokensieve.jobs.source.scan import TableScan
    from tokensieve.jobs.spark.session import open_session

    table = TableScan(source, open_session(spark, delta=True, places=((source.path, source.storage),)))
    paths = sorted(unquote(uri if is_remote(uri) else urlparse(uri).path) for uri in table.rows.inputFiles())
    looked = [inspect(path, "/", "parquet", table.columns.text, source.storage) for path in paths]
    return PlannedSource(
        splits=tuple(split for one in looked if isinstance(one, Shard) for split in one.splits),
        schema=table.schema,
        text=table.columns.text,
        id=id_column(table.columns, table.schema.names),
        documents=table.documents,
        broken_files=sum(not isinstance(one, Shard) for one in looked),
        exact_bytes=True,
        own_tasks=False,
    )
