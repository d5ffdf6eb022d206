"""A table as Parquet: `batch=<id>/` folders of data, and a commit file that says which of them are the table.

`<table>/_commits/<version>.json` is put if absent; that file is the commit. It lists the folders with the source files
in each, and those of them whose rows have been replaced since: readers leave these rows out, and compaction writes the
rest anew. Folders that no commit lists are of killed jobs, and nobody reads them.
"""

import contextlib
import math
import os
import shutil
import socket
import time
import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from tokensieve.jobs.errors import InputError
from tokensieve.jobs.tables.table import Commit, Format, Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COMMITS = "_commits"  # readers of Parquet folders skip names that begin with _
STAGING = "_staging"
FILE_BYTES = 256 * 2**20  # of a compacted table, about
LEFT_SECONDS = 7 * 24 * 3600  # after which a folder that no commit names is litter


class Part(BaseModel):
    """One folder of data. `sources` are the source files that it was written with, where rows of it may be replaced;
    `dead` those whose rows are no longer part of the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str
    sources: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()

    def without(self, leaving: set[str]) -> "Part":
        """The part without the rows of these sources."""
        dead = leaving.intersection(self.sources).union(self.dead)
        return self.model_copy(update={"dead": tuple(sorted(dead))})

    @property
    def live(self) -> bool:
        return not self.sources or len(self.dead) < len(self.sources)


class ParquetCommit(Commit):
    """A commit, and where its rows are; `columns` is their Spark schema."""

    parts: tuple[Part, ...]
    columns: dict[str, JsonValue]
    made_at: float
    """Seconds since 1970, by the writer's clock."""


class ParquetTable(Table):
    """One Parquet table of a store."""

    format: Format = "parquet"

    def newest(self) -> int | None:
        versions = self.versions()
        return versions[-1] if versions else None

    def versions(self) -> list[int]:
        names = self.store.names(f"{self.name}/{COMMITS}")
        return [int(name.removesuffix(".json")) for name in names if name.endswith(".json")]

    def commit(self, version: int | None = None) -> Commit | None:
        held = self._held(version)
        return None if held is None else _without_parts(held)

    def committed_at(self, commit: Commit) -> float:
        held = self._held(commit.version)
        assert held is not None
        return held.made_at

    def read(
        self, spark: "SparkSession", version: int | None = None, sources: Collection[str] | None = None
    ) -> "DataFrame":
        from pyspark.sql import functions as F

        held = self._held(version)
        if held is None:
            raise self._missing()
        wanted = None if sources is None else set(sources)
        parts = [part for part in held.parts if wanted is None or not part.sources or wanted.intersection(part.sources)]
        rows = self._rows(spark, held, parts)
        return rows if wanted is None else rows.where(F.col("source_file").isin(sorted(wanted)))

    def _rows(self, spark: "SparkSession", held: ParquetCommit, parts: list[Part]) -> "DataFrame":
        from pyspark.sql import functions as F
        from pyspark.sql.types import StructType

        schema = StructType.fromJson(held.columns)  # no footer is read to learn it
        if not parts:
            return spark.createDataFrame([], schema)
        rows = spark.read.schema(schema).parquet(*(self.store.uri(f"{self.name}/{part.folder}") for part in parts))
        dead = [(part.folder, source) for part in parts for source in part.dead]
        if not dead:
            return rows
        gone = spark.createDataFrame(dead, "_part string, source_file string")
        folder = F.element_at(F.split(F.url_decode(F.col("_metadata.file_path")), "/"), -2)
        return (
            rows.withColumn("_part", folder)
            .join(F.broadcast(gone), ["_part", "source_file"], "left_anti")
            .select(*schema.names)
        )

    def replace(
        self, rows: "DataFrame", commit: Commit, base: Commit | None = None, sources: Collection[str] = ()
    ) -> Commit:
        version = self.newest() if base is None else base.version
        return self._put(rows, commit, version, (), sources)

    def update(
        self, rows: "DataFrame", commit: Commit, base: Commit, leaving: Collection[str], incoming: Collection[str]
    ) -> Commit:
        held = self._held(base.version)
        assert held is not None
        kept = (part.without(set(leaving)) for part in held.parts)
        return self._put(rows, commit, base.version, tuple(part for part in kept if part.live), incoming)

    def compact(self, spark: "SparkSession", dry_run: bool) -> dict[str, Any]:
        held = self._held()
        if held is None:
            raise self._missing()
        before, size = self._files(held)
        sources = sorted({source for part in held.parts for source in part.sources if source not in part.dead})
        wanted = max(1, math.ceil(size / FILE_BYTES))
        if dry_run or before <= wanted:
            return {"files": before, "would_be": wanted, "bytes": size}
        rows = self.read(spark).repartitionByRange(wanted, "source_file") if sources else self.read(spark)
        after = self._put(rows if sources else rows.coalesce(wanted), held, held.version, (), sources)
        return {"files": before, "now": self._files(self._held(after.version) or held)[0], "bytes": size}

    def vacuum(self, spark: "SparkSession", keep: Collection[int], dry_run: bool) -> list[str]:
        remove = self._old(keep)
        if not dry_run:
            self._delete(remove)
        return remove

    def forget_old(self, keep: Collection[int] = ()) -> None:
        self._delete(self._old(keep))

    def _delete(self, names: list[str]) -> None:
        for name in names:
            self.store.delete(name)

    def _old(self, keep: Collection[int]) -> list[str]:
        """Commits that are neither kept nor the newest, and folders that only they name."""
        versions = self.versions()
        staying = {*keep, *versions[-1:]}
        named = {folder for version in versions if version in staying for folder in self._folders(version)}
        old = [version for version in versions if version not in staying]
        remove = [f"{self.name}/{COMMITS}/{_file(version)}" for version in old]
        listed = {folder for version in old for folder in self._folders(version)}
        for folder in (name for name in self.store.names(self.name) if name.startswith("batch=")):
            # One that no commit names may be of a writer that is about to commit.
            if folder not in named and (folder in listed or time.time() - _made_at(folder) > LEFT_SECONDS):
                remove.append(f"{self.name}/{folder}")
        return remove

    def _put(
        self, rows: "DataFrame", commit: Commit, base: int | None, kept: tuple[Part, ...], sources: Collection[str]
    ) -> Commit:
        """Writes rows into a folder of their own, and commits it beside the kept parts."""
        part = Part(folder=_folder(commit.batch), sources=tuple(sorted(sources)))
        self._write(rows, f"{self.name}/{part.folder}")
        columns: Any = rows.schema.jsonValue()
        version = 0 if base is None else base + 1
        about = _without_parts(commit).model_copy(update={"version": version})
        held = ParquetCommit(**about.model_dump(), parts=(*kept, part), columns=columns, made_at=time.time())
        file, data = f"{self.name}/{COMMITS}/{_file(version)}", (held.model_dump_json(indent=1) + "\n").encode()
        # Where the answer to a put got lost and it was sent again, this very commit is there.
        if not self.store.create(file, data) and self.store.read(file) != data:
            self.store.delete(f"{self.name}/{part.folder}")
            raise self._overtaken()
        return about

    def _write(self, rows: "DataFrame", folder: str) -> None:
        """On a disk the folder appears in one step, for people and tools that look at folders and not at commits."""
        if not self.store.local:
            rows.write.parquet(self.store.uri(folder))
            return
        root = self.store.path()
        prefix = f"{self.name.replace('/', '.')}-{socket.gethostname()}-"
        staged = root / STAGING / f"{prefix}{os.getpid()}-{uuid.uuid4().hex}"
        for left in staged.parent.glob(f"{prefix}*"):
            if not _process_lives(int(left.name.removeprefix(prefix).partition("-")[0])):  # it was killed
                shutil.rmtree(left)
        try:
            rows.write.parquet(str(staged))
            (root / self.name).mkdir(parents=True, exist_ok=True)
            os.rename(staged, root / folder)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            with contextlib.suppress(OSError):  # another table of this root may be staging
                staged.parent.rmdir()

    def _folders(self, version: int) -> list[str]:
        held = self._held(version)
        return [] if held is None else [part.folder for part in held.parts]

    def _files(self, held: ParquetCommit) -> tuple[int, int]:
        """How many files of data the parts have, and their bytes."""
        sizes = [
            size
            for part in held.parts
            for name, size in self.store.sizes(f"{self.name}/{part.folder}").items()
            if name.endswith(".parquet")
        ]
        return len(sizes), sum(sizes)

    def _held(self, version: int | None = None) -> ParquetCommit | None:
        """A version's commit with its parts, None where the table does not exist."""
        wanted = self.newest() if version is None else version
        if wanted is None:
            return None
        file = f"{self.name}/{COMMITS}/{_file(wanted)}"
        try:
            return ParquetCommit.model_validate_json(self.store.read(file))
        except FileNotFoundError as error:
            there = ", ".join(map(str, self.versions()))
            raise InputError(f"{self.uri}: there is no version {wanted}, only {there or 'none'}") from error
        except ValidationError as error:
            raise InputError(
                f"{self.store.uri(file)}: this commit cannot be read: {error}; restore the file"
            ) from error


def _process_lives(pid: int) -> bool:
    """Whether this machine has such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _without_parts(commit: Commit) -> Commit:
    return Commit(**commit.model_dump(include=set(Commit.model_fields)))


def _file(version: int) -> str:
    return f"{version:08d}.json"


def _folder(batch: str) -> str:
    """A name that no other writer takes, and that says when it was made."""
    return f"batch={batch}-{int(time.time()):08x}-{uuid.uuid4().hex[:8]}"


def _made_at(folder: str) -> int:
    return int(folder.split("-")[-2], 16)
