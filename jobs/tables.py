"""The table layer: a table is replaced by one commit, as Delta or as Parquet, and reads the same either way.

A Parquet table is a folder of `batch=<id>/` folders, each put in place by one rename; what belongs to a commit (its
inputs' ids, its counts) travels in it. Until a commit, nothing that a job wrote is visible. One writer at a time.
"""

import contextlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from jobs.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COMMIT_FILE = "_commit.json"  # readers of Parquet folders skip names that begin with _


class TablesConfig(BaseModel):
    """Section `tables`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str
    """The folder of all tables, local or mounted on every node."""
    format: Literal["parquet", "delta"] = "parquet"
    variant: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Names a second decision over the same scores: its table is `masked-VARIANT`, its shards `shards-VARIANT`."""

    @field_validator("root")
    @classmethod
    def _local(cls, root: str) -> str:
        if len(urlparse(root).scheme) > 1:
            raise ValueError("tables are written to local or mounted folders only; object stores lack the rename")
        return root

    @property
    def folder(self) -> Path:
        """The root as an absolute path: executors work in folders of their own."""
        return Path(self.root).absolute()

    def table(self, name: str) -> "Table":
        return Table(self.folder / (self._named(name) if name == "masked" else name), self.format)

    @property
    def shards(self) -> Path:
        return self.folder / self._named("shards")

    def _named(self, name: str) -> str:
        return f"{name}-{self.variant}" if self.variant else name


class Commit(BaseModel):
    """What a table says about the commit that made it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: str
    """Names the content: a hash of the inputs and settings that it follows from."""
    inputs: dict[str, JsonValue] = {}
    counts: dict[str, int] = {}


class Table:
    """One table below the root."""

    def __init__(self, path: Path, format: Literal["parquet", "delta"]) -> None:
        self.path = path
        self.format = format

    def read(self, spark: "SparkSession") -> "DataFrame":
        """The rows of the last commit. Raises InputError when there is none."""
        if self.commit(spark) is None:
            verb = "mask" if self.path.name.partition("-")[0] == "masked" else "score"
            raise InputError(f"{self.path}: no such {self.format} table; run `tokensieve {verb}` first")
        if self.format == "delta":
            return spark.read.format("delta").load(str(self.path))
        return spark.read.parquet(*(str(batch) for batch in self._batches()))

    def commit(self, spark: "SparkSession") -> Commit | None:
        """The last commit, None where the table does not exist."""
        if self.format == "delta":
            return self._delta_commit(spark)
        batches = self._batches()
        return Commit.model_validate_json((batches[-1] / COMMIT_FILE).read_text()) if batches else None

    def replace(self, rows: "DataFrame", commit: Commit) -> None:
        """Writes rows and makes them the table's content in one step."""
        (self._replace_delta if self.format == "delta" else self._replace_parquet)(rows, commit)

    def _replace_parquet(self, rows: "DataFrame", commit: Commit) -> None:
        staging = self.path.parent / "_staging" / f"{self.path.name}-{uuid.uuid4().hex}"
        for leftover in staging.parent.glob(f"{self.path.name}-*"):  # of a job that was killed
            shutil.rmtree(leftover)
        try:
            rows.write.parquet(str(staging))
            (staging / COMMIT_FILE).write_text(commit.model_dump_json(indent=2))
            old = [
                batch.rename(staging.parent / f"{self.path.name}-old-{uuid.uuid4().hex}") for batch in self._batches()
            ]
            self.path.mkdir(parents=True, exist_ok=True)
            os.rename(staging, self.path / f"batch={commit.batch}")
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        for batch in old:
            shutil.rmtree(batch)
        with contextlib.suppress(OSError):  # another table of this root may be staging
            staging.parent.rmdir()

    def _replace_delta(self, rows: "DataFrame", commit: Commit) -> None:
        before = self._delta_version(rows.sparkSession)
        writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer = writer.option("userMetadata", commit.model_dump_json())
        writer = writer.option("txnAppId", f"tokensieve.{self.path.name}").option("txnVersion", before + 1)
        writer.save(str(self.path))

    def _batches(self) -> list[Path]:
        return sorted(self.path.glob("batch=*")) if self.path.is_dir() else []

    def _delta_history(self, spark: "SparkSession") -> Any:
        from delta.tables import DeltaTable

        if not (self.path / "_delta_log").is_dir():
            return None
        return DeltaTable.forPath(spark, str(self.path)).history(1).select("version", "userMetadata").first()

    def _delta_version(self, spark: "SparkSession") -> int:
        latest = self._delta_history(spark)
        return -1 if latest is None else latest["version"]

    def _delta_commit(self, spark: "SparkSession") -> Commit | None:
        latest = self._delta_history(spark)
        if latest is None:
            return None
        if not latest["userMetadata"]:
            raise InputError(f"{self.path}: version {latest['version']} was not written by tokensieve; restore ours")
        return Commit.model_validate(json.loads(latest["userMetadata"]))
