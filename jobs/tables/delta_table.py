"""A table as Delta, written by the JVM connector; its versions are Delta's own.

What a commit says travels in `userMetadata` and is read from the log's JSON files (the Delta transaction log protocol),
so that looking at a table needs neither Spark nor the connector. Versions that only move rows (OPTIMIZE, VACUUM) are
passed over.
"""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tokensieve.jobs.errors import InputError
from tokensieve.jobs.tables.table import Commit, Format, Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Releases pin versions for longer than Delta's 30 days of log; `maintain vacuum` says when they may go.
RETENTION = "interval 3650 days"
_LOG_FILE = re.compile(r"(\d{20})\.json")
_CONFLICT = re.compile(r"DELTA_CONCURRENT_|DELTA_METADATA_CHANGED|DELTA_PROTOCOL_CHANGED|Concurrent\w*Exception")
_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"
_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_LISTING_TASKS = "spark.sql.sources.parallelPartitionDiscovery.parallelism"  # 10,000 where nobody says less


class DeltaTable(Table):
    """One Delta table of a store, by its path."""

    format: Format = "delta"

    def newest(self) -> int | None:
        numbers = self._numbers()
        return numbers[-1] if numbers else None

    def versions(self) -> list[int]:
        return [version for version in self._numbers() if self._said(version)[0] is not None]

    def commit(self, version: int | None = None) -> Commit | None:
        if version is not None:
            said, _ = self._said(version)
            if said is None:
                raise InputError(f"{self.uri}: version {version} was not written by tokensieve")
            return said
        for number in reversed(self._numbers()):
            said, moved_rows_only = self._said(number)
            if said is not None:
                return said
            if not moved_rows_only:
                raise InputError(
                    f"{self.uri}: version {number} was not written by tokensieve; RESTORE the version before it"
                )
        return None

    def committed_at(self, commit: Commit) -> float:
        assert commit.version is not None
        return self._log_time(commit.version)

    def read(
        self, spark: "SparkSession", version: int | None = None, sources: Collection[str] | None = None
    ) -> "DataFrame":
        from pyspark.sql import functions as F

        if self.newest() is None:
            raise self._missing()
        self.commit(version)  # a version that somebody else wrote is refused
        reader = spark.read.format("delta")
        reader = reader if version is None else reader.option("versionAsOf", version)
        rows = reader.load(self.uri)
        return rows if sources is None else rows.where(F.col("source_file").isin(sorted(sources)))

    def replace(
        self, rows: "DataFrame", commit: Commit, base: Commit | None = None, sources: Collection[str] = ()
    ) -> Commit:
        writer = rows.write.mode("overwrite").option("overwriteSchema", "true")
        return self._save(writer, commit, self.newest() if base is None else base.version)

    def update(
        self, rows: "DataFrame", commit: Commit, base: Commit, leaving: Collection[str], incoming: Collection[str]
    ) -> Commit:
        writer = rows.write.option("mergeSchema", "true")
        if leaving:
            named = ", ".join(_literal(source) for source in sorted({*leaving, *incoming}))
            writer = writer.mode("overwrite").option("replaceWhere", f"source_file IN ({named})")
        else:
            writer = writer.mode("append")
        return self._save(writer, commit, base.version)

    def compact(self, spark: "SparkSession", dry_run: bool) -> dict[str, Any]:
        commit = self.commit()
        if commit is None:
            raise self._missing()
        before = spark.sql(f"DESCRIBE DETAIL {self._quoted}").select("numFiles", "sizeInBytes").first()
        assert before is not None
        found = {"files": before["numFiles"], "bytes": before["sizeInBytes"]}
        if dry_run:
            return found
        said = commit.model_dump_json(exclude={"version"})
        with _setting(spark, _METADATA, said):
            spark.sql(f"OPTIMIZE {self._quoted}").collect()
        after = spark.sql(f"DESCRIBE DETAIL {self._quoted}").select("numFiles").first()
        return found | {"now": after["numFiles"] if after else 0}

    def vacuum(self, spark: "SparkSession", keep: Collection[int], dry_run: bool) -> list[str]:
        """Delta knows an age, not versions: what is younger than the oldest kept version stays with it."""
        there = [version for version in self._numbers() if version in keep]
        since = min([*there, *self._numbers()[-1:]], default=None)
        if since is None:
            return []
        age = datetime.now(UTC).timestamp() - self._log_time(since)
        hours = int(age // 3600) + 1
        tasks = spark.conf.get("spark.sql.shuffle.partitions") or "200"
        with _setting(spark, _CHECK, "false"), _setting(spark, _LISTING_TASKS, tasks):
            found = spark.sql(f"VACUUM {self._quoted} RETAIN {hours} HOURS DRY RUN").collect()
            if not dry_run and found:
                spark.sql(f"VACUUM {self._quoted} RETAIN {hours} HOURS").collect()
        return sorted(str(row[0]) for row in found)

    def forget_old(self, keep: Collection[int] = ()) -> None:
        return

    def _save(self, writer: Any, commit: Commit, base: int | None) -> Commit:
        """Writes one version on top of `base`. Delta skips a write whose transaction it has seen, without a word."""
        version = 0 if base is None else base + 1
        writer = writer.format("delta").option("userMetadata", commit.model_dump_json(exclude={"version"}))
        writer = writer.option("txnAppId", f"tokensieve.{self.name}").option("txnVersion", version)
        if base is None:
            writer = writer.option("delta.logRetentionDuration", RETENTION)
            writer = writer.option("delta.deletedFileRetentionDuration", "interval 7 days")
        try:
            writer.save(self.uri)
        except _spark_errors() as error:
            if _CONFLICT.search(str(error)):
                raise self._overtaken() from error
            raise
        found = self.commit()
        if found is None or found.batch != commit.batch:
            raise self._overtaken()
        return found

    def _numbers(self) -> list[int]:
        matches = (_LOG_FILE.fullmatch(name) for name in self.store.names(f"{self.name}/_delta_log"))
        return sorted(int(match[1]) for match in matches if match)

    def _said(self, version: int) -> tuple[Commit | None, bool]:
        """What we said in a version, None where it is not ours; and whether it left the table's content as it was."""
        lines = self._log(version)
        info = next((json.loads(line)["commitInfo"] for line in lines if line.startswith('{"commitInfo"')), {})
        try:
            said = Commit.model_validate_json(info.get("userMetadata") or "")
        except ValidationError:
            actions = [next(iter(json.loads(line).values())) for line in lines]
            return None, not any(action.get("dataChange") for action in actions)
        return said.model_copy(update={"version": version}), True

    def _log_time(self, version: int) -> float:
        (info,) = (json.loads(line) for line in self._log(version) if line.startswith('{"commitInfo"'))
        return info["commitInfo"]["timestamp"] / 1000

    def _log(self, version: int) -> list[str]:
        file = f"{self.name}/_delta_log/{version:020d}.json"
        try:
            return self.store.read(file).decode().splitlines()
        except FileNotFoundError as error:
            raise InputError(f"{self.uri}: there is no version {version} any more") from error

    @property
    def _quoted(self) -> str:
        """The table in SQL."""
        return f"delta.`{self.uri.replace('`', '``')}`"


def _literal(text: str) -> str:
    """A string in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _spark_errors() -> tuple[type[Exception], ...]:
    """What a failed write raises: known exceptions of the JVM have classes of their own in Python, others do not."""
    from pyspark.errors import PySparkException

    try:
        from py4j.protocol import Py4JJavaError
    except ImportError:  # a client of Spark Connect alone
        return (PySparkException,)
    return (PySparkException, Py4JJavaError)


@contextmanager
def _setting(spark: "SparkSession", key: str, value: str) -> Iterator[None]:
    """A Spark setting while inside."""
    before = spark.conf.get(key, None)
    spark.conf.set(key, value)
    try:
        yield
    finally:
        spark.conf.unset(key) if before is None else spark.conf.set(key, before)
