"""The table layer: a table changes by one commit, as Delta or as Parquet, and reads the same either way.

A commit's version, inputs and counts are read without Spark. Old versions stay readable until they are vacuumed.
Writers exclude each other: of two that began from the same version one commits, the other is told.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from jobs.errors import BusyError, InputError
from jobs.store import NO_CONDITION, Store, open_store, unsafe
from udfs.storage import PROVIDERS_OWN, StorageConfig, is_object_store, without_credentials

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Format = Literal["parquet", "delta"]
RELEASES = "releases"  # records that name versions of tables (jobs/refreshing/release.py)


class Commit(BaseModel):
    """What a table says about the commit that made it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: str
    """Names the content: a hash of the inputs and settings that it follows from."""
    inputs: dict[str, JsonValue] = {}
    counts: dict[str, int] = {}
    ledger: str | None = None
    """The ledger (jobs/ledger.py) that the content follows from, None where there is none."""
    version: int | None = None
    """Set by the table when it is read or written."""


class Table(ABC):
    """One table of a store."""

    format: Format

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name

    @property
    def uri(self) -> str:
        """Where it lies, as Spark finds it and as people read it."""
        return self.store.uri(self.name)

    @abstractmethod
    def newest(self) -> int | None:
        """The number of the newest version, None where the table does not exist."""

    @abstractmethod
    def versions(self) -> list[int]:
        """The numbers of all versions that can still be read, ascending."""

    @abstractmethod
    def commit(self, version: int | None = None) -> Commit | None:
        """A version's commit, by default the newest. None where the table does not exist.

        Raises InputError for a version that is gone, or that tokensieve did not write.
        """

    @abstractmethod
    def committed_at(self, commit: Commit) -> float:
        """When a commit of this table was made, in seconds since 1970."""

    @abstractmethod
    def read(
        self, spark: "SparkSession", version: int | None = None, sources: Collection[str] | None = None
    ) -> "DataFrame":
        """The rows of a version, by default the newest; with `sources` only those of these source files.

        Raises InputError when there is none.
        """

    @abstractmethod
    def replace(
        self, rows: "DataFrame", commit: Commit, base: Commit | None = None, sources: Collection[str] = ()
    ) -> Commit:
        """Makes rows the table's content in one step; `sources`: the source files in
        them, where `update` shall follow.

        Returns the commit with its version. Raises BusyError when another writer was first: since `base`, where it is
        given, else since this call began.
        """

    @abstractmethod
    def update(
        self, rows: "DataFrame", commit: Commit, base: Commit, leaving: Collection[str], incoming: Collection[str]
    ) -> Commit:
        """In one step the rows of the source files `leaving` go, and `rows`, which are those of `incoming`, come.

        A source whose rows are replaced is in both. `base` is the commit that this follows from. Returns and raises as
        `replace`.
        """

    @abstractmethod
    def compact(self, spark: "SparkSession", dry_run: bool) -> dict[str, Any]:
        """Writes the newest version's rows into few files; their content stays. Returns files before and after."""

    @abstractmethod
    def vacuum(self, spark: "SparkSession", keep: Collection[int], dry_run: bool) -> list[str]:
        """Removes what only versions other than `keep` and the newest need, and returns what it was."""

    @abstractmethod
    def forget_old(self, keep: Collection[int] = ()) -> None:
        """Lets go of versions other than `keep` and the newest. Delta does that on its own terms, see `vacuum`."""

    def _missing(self) -> InputError:
        verb = {"masked": "mask", "sweep": "sweep"}.get(self.name.partition("-")[0], "score")
        return InputError(f"{self.uri}: no such table in format {self.format}; run `tokensieve {verb}` first")

    def _overtaken(self) -> BusyError:
        return BusyError(
            f"{self.uri}: another writer committed in the meantime; nothing of this run is visible. Look at who else "
            "writes to this tables.root, then run the verb again"
        )


class TablesConfig(BaseModel):
    """Section `tables`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str
    """The folder of all tables: local, mounted on every node, or a prefix of an object store (s3a://, gs://, abfss://)."""
    format: Format = "parquet"
    variant: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Names a second decision over the same scores: its table is `masked-VARIANT`, its shards `shards-VARIANT`."""
    storage: StorageConfig = PROVIDERS_OWN

    @field_validator("root")
    @classmethod
    def _known_place(cls, root: str) -> str:
        if len(urlparse(root).scheme) > 1 and not (root.startswith("file://") or is_object_store(root)):
            raise ValueError(str(unsafe(root, NO_CONDITION.format(scheme=urlparse(root).scheme))))
        return without_credentials(root)

    @property
    def store(self) -> Store:
        """Where the tables lie."""
        return open_store(self.root, self.storage)

    @property
    def folder(self) -> Path:
        """The root as an absolute path. Raises ConfigError on an object store."""
        return self.store.path()

    def table(self, name: str, format: Format | None = None) -> Table:
        """A table of the root."""
        name = self.named(name) if name == "masked" else name
        if (format or self.format) == "delta":
            from jobs.delta_table import DeltaTable

            return DeltaTable(self.store, name)
        from jobs.parquet_table import ParquetTable

        return ParquetTable(self.store, name)

    def forget_old(self, table: Table) -> None:
        """Lets go of a table's old versions, unless there are releases: then `tokensieve maintain vacuum` does."""
        if not self.store.names(RELEASES):
            table.forget_old()

    def named(self, name: str) -> str:
        """The name with the variant, where there is one."""
        return f"{name}-{self.variant}" if self.variant else name
