"""The table layer: a table changes by one commit, as Delta or as Parquet, and reads the same either way.

A commit's version, inputs and counts are read without Spark. Old versions stay readable until they are vacuumed.
Writers exclude each other: of two that began from the same version one commits, the other is told.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from tokensieve.jobs.errors import BusyError, InputError
from tokensieve.jobs.tables.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


Format = Literal["parquet", "delta"]
RELEASES = "releases"  # records that name versions of tables (jobs/releases/release.py)


class Commit(BaseModel):
    """What a table says about the commit that made it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: str
    """Names the content: a hash of the inputs and settings that it follows from."""
    inputs: dict[str, JsonValue] = {}
    counts: dict[str, int] = {}
    ledger: str | None = None
    """The ledger (jobs/tables/ledger.py) that the content follows from, None where there is none."""
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
