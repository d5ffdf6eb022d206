"""Verb `score`: source in, tables `scores` and `quarantine` out. The only verb that runs a classifier.

Executors read the shards themselves (udfs/read_shard.py); Spark schedules, retries and writes. The pass is persisted
on disk between its two tables, so that a document is scored once. Also an application: spark-submit jobs/score.py.
"""

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from jobs.errors import BalanceError, ConfigError, InputError, QuarantineError
from jobs.policies import PolicyConfig, content_id, load_bundle
from jobs.source import BrokenFile, Listing, SourceConfig, id_column, list_files, source_path
from jobs.tables import Commit
from udfs.read_shard import PROVENANCE
from udfs.score_rows import ScorePlan, made_id, score_rows, score_splits
from udfs.scorer import ScorerSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.config import Config

QUARANTINE = ("source_file", "source_row", "doc_id", "reason", "detail")


class ScoreConfig(BaseModel):
    """Section `score`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where an executor has it."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on CUDA, float32 on CPU."""
    token_budget: int = Field(16_384, ge=1_024)
    """Classifier tokens per forward pass."""
    threads_per_task: int = Field(1, ge=1)
    quarantine_tolerance: float = Field(0.01, ge=0, le=1)
    """Largest share of documents that may be quarantined; above it the verb exits with 3."""


def run(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Scores the source under every policy and returns the counts. A source already scored is left alone.

    Raises ConfigError, InputError, BalanceError, QuarantineError.
    """
    settings = _scorer_settings(config)
    work = _TableSource(config, spark) if config.source.format == "delta" else _FileSource(config.source)
    _refuse_clashes(work.schema, config)
    scores, quarantine = config.tables.table("scores"), config.tables.table("quarantine")
    commit = _commit(config, settings, work.versions)
    if not _is_current(scores.commit(spark), quarantine.commit(spark), commit):
        plan = work.plan(settings)
        scored = work.scored(spark, plan).persist(_disk_only())
        try:
            scored.count()  # fills the cache once, before the two tables read from it at the same time
            duplicates = _duplicates(scored)
            quarantine.replace(_quarantined(spark, scored, duplicates, work.broken), commit)
            keep = _without_duplicates(scored, duplicates).drop("reason", "detail")
            scores.replace(keep, commit.model_copy(update={"counts": {"in": work.documents}}))
        finally:
            scored.unpersist()
    return _counts(config, spark)


def _scorer_settings(config: "Config") -> ScorerSettings:
    bundles = [(name, policy.bundle, load_bundle(name, policy)) for name, policy in config.policies.items()]
    return ScorerSettings(
        bundles=tuple((name, _reference(path), bundle.bundle_id) for name, path, bundle in sorted(bundles)),
        device=config.score.device,
        dtype=config.score.dtype,
        token_budget=config.score.token_budget,
        threads=config.score.threads_per_task,
    )


def _reference(bundle: str) -> str:
    """Executors run in other folders: a path is sent whole, a preset's name as it is."""
    from pathlib import Path

    return str(Path(bundle).absolute()) if Path(bundle).exists() else bundle


class _FileSource:
    """Parquet or JSONL: listed by the driver, read by executors."""

    def __init__(self, source: SourceConfig) -> None:
        self.listing: Listing = list_files(source)
        self.schema = self.listing.schema
        self.broken = self.listing.broken
        self.documents = self.listing.documents
        self.versions: dict[str, Any] = dict(self.listing.files)

    def plan(self, scorer: ScorerSettings) -> ScorePlan:
        listing = self.listing
        return ScorePlan(splits=listing.splits, schema=listing.schema, text=listing.text, id=listing.id, scorer=scorer)

    def scored(self, spark: "SparkSession", plan: ScorePlan) -> "DataFrame":
        """One partition per split: range puts id i in partition i, retried or not."""
        splits = spark.range(0, len(plan.splits), 1, numPartitions=max(1, len(plan.splits)))
        return splits.mapInArrow(partial(score_splits, plan), schema=spark_schema(plan.output_schema()))


class _TableSource:
    """Delta: Spark reads the snapshot, executors get rows with file and row number."""

    def __init__(self, config: "Config", spark: "SparkSession") -> None:
        from delta.tables import DeltaTable
        from pyspark.sql.pandas.types import to_arrow_schema
        from pyspark.sql.utils import AnalysisException

        path, columns = source_path(config.source), config.source.columns
        try:
            version = DeltaTable.forPath(spark, path).history(1).select("version").first()
        except AnalysisException as error:
            raise InputError(f"source.path: {config.source.path} is not a Delta table: {error}") from error
        assert version is not None
        self.rows = spark.read.format("delta").option("versionAsOf", version["version"]).load(path)
        self.schema = to_arrow_schema(self.rows.schema)
        if columns.text not in self.schema.names or self.schema.field(columns.text).type != pa.string():
            raise InputError(f"source.columns.text: {config.source.path} has no string column {columns.text!r}")
        self.columns = columns
        self.broken: tuple[BrokenFile, ...] = ()
        self.documents = self.rows.count()
        self.versions: dict[str, Any] = {"delta_version": version["version"]}

    def plan(self, scorer: ScorerSettings) -> ScorePlan:
        id_name = id_column(self.columns, self.schema.names)
        return ScorePlan(splits=(), schema=self.schema, text=self.columns.text, id=id_name, scorer=scorer)

    def scored(self, spark: "SparkSession", plan: ScorePlan) -> "DataFrame":
        from pyspark.sql import functions as F

        rows = self.rows.select(
            "*",
            F.col("_metadata.file_name").alias(PROVENANCE[0].name),
            F.lit(f"delta-{self.versions['delta_version']}").alias(PROVENANCE[1].name),
            F.col("_metadata.row_index").alias(PROVENANCE[2].name),
        )
        return rows.mapInArrow(partial(score_rows, plan), schema=spark_schema(plan.output_schema()))


def spark_schema(schema: pa.Schema) -> Any:
    """The Spark schema of an Arrow one. Raises InputError for a column type that Spark does not have."""
    from pyspark.errors import PySparkTypeError
    from pyspark.sql.pandas.types import from_arrow_schema

    try:
        return from_arrow_schema(schema)
    except PySparkTypeError as error:
        raise InputError(f"source: Spark has no type for one of the columns {schema.names}: {error}") from error


def _disk_only() -> Any:
    from pyspark import StorageLevel

    return StorageLevel.DISK_ONLY


def _refuse_clashes(schema: pa.Schema, config: "Config") -> None:
    ours = {"doc_id", "text_hash", "reason", "detail", *(field.name for field in PROVENANCE), *config.policies}
    clash = sorted(ours & set(schema.names))
    if clash:
        raise ConfigError(
            f"source column {clash[0]!r} has a name that the scores table needs; rename the column or the policy"
        )
    if config.source.columns.text != "text" and "text" in schema.names:
        raise ConfigError(
            "the masked table holds the text as `text`, but the source has another column of that name beside "
            f"source.columns.text={config.source.columns.text}; rename it in the source"
        )


def _commit(config: "Config", settings: ScorerSettings, versions: dict[str, Any]) -> Commit:
    """Names what the table will hold: same source, columns and bundles, same name."""
    inputs = {
        "source": versions,
        "columns": config.source.columns.model_dump(),
        "bundles": {policy: bundle_id for policy, _, bundle_id in settings.bundles},
    }
    identity = inputs if config.source.format == "delta" else inputs | {"dtype": config.score.dtype}
    return Commit(batch=content_id(identity), inputs={"bundles": inputs["bundles"], "columns": inputs["columns"]})


def _is_current(scores: Commit | None, quarantine: Commit | None, wanted: Commit) -> bool:
    return bool(scores and quarantine and scores.batch == quarantine.batch == wanted.batch)


def _duplicates(scored: "DataFrame") -> "DataFrame":
    """Ids that more than one scored row has, with the first of those rows."""
    from pyspark.sql import functions as F

    first = F.min(F.struct("source_file", "source_row")).alias("first")
    ids = scored.where("reason is null").select("doc_id", "source_file", "source_row")
    return ids.groupBy("doc_id").agg(F.count("*").alias("copies"), first).where("copies > 1")


def _is_first() -> Any:
    from pyspark.sql import functions as F

    return (F.col("source_file") == F.col("first.source_file")) & (F.col("source_row") == F.col("first.source_row"))


def _without_duplicates(scored: "DataFrame", duplicates: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F

    joined = scored.where("reason is null").join(F.broadcast(duplicates), "doc_id", "left")
    kept = joined.where(F.col("first").isNull() | _is_first())
    return kept.select(*scored.columns)


def _quarantined(
    spark: "SparkSession", scored: "DataFrame", duplicates: "DataFrame", broken: tuple[BrokenFile, ...]
) -> "DataFrame":
    from pyspark.sql import functions as F

    detail = F.concat_ws("", F.lit("first seen in "), "first.source_file", F.lit(" row "), "first.source_row")
    doubled = scored.where("reason is null").join(F.broadcast(duplicates), "doc_id").where(~_is_first())
    doubled = doubled.withColumn("reason", F.lit("duplicate_id")).withColumn("detail", detail)
    files = spark.createDataFrame(
        [(one.name, None, made_id(one.name, -1), one.reason, one.detail[:1000]) for one in broken],
        "source_file string, source_row bigint, doc_id string, reason string, detail string",
    )
    faults = scored.where("reason is not null").select(*QUARANTINE)
    return faults.unionByName(doubled.select(*QUARANTINE)).unionByName(files)


def _counts(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Counts what was written, and holds it against what was listed."""
    from pyspark.sql import functions as F

    table = config.tables.table("scores")
    commit = table.commit(spark)
    assert commit is not None
    scored = table.read(spark).count()
    rows = config.tables.table("quarantine").read(spark).groupBy("reason").agg(F.count("*").alias("n")).collect()
    reasons = {row["reason"]: row["n"] for row in rows}
    quarantined = sum(reasons.values())
    counts = {"in": commit.counts["in"], "scored": scored, "quarantine": quarantined, "reasons": reasons}
    if counts["in"] != scored + quarantined:
        raise BalanceError(
            f"{config.tables.root}: {counts['in']} documents listed, but {scored} scored and {quarantined} "
            "quarantined were written; score again into an empty tables.root and compare"
        )
    if quarantined > config.score.quarantine_tolerance * counts["in"]:
        raise QuarantineError(
            f"{quarantined} of {counts['in']} documents quarantined ({reasons}), above score.quarantine_tolerance="
            f"{config.score.quarantine_tolerance}; the tables are written, see {config.tables.root}/quarantine"
        )
    return {"batch": commit.batch, "documents": counts}


if __name__ == "__main__":
    from jobs.cli import application

    application("score")
