"""Verb `score`: source in, tables `scores` and `quarantine` out. The only verb that runs a classifier.

The pass (jobs/scoring/scan.py) is persisted on disk between its two tables, so that a document is scored once; that
costs one local copy of the text. Also an application: spark-submit jobs/score.py.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from jobs.errors import BalanceError, ConfigError, QuarantineError
from jobs.policies import content_id, load_bundle
from jobs.scoring.outcome import FIRST, duplicates, quarantined, reason_counts, without_duplicates
from jobs.scoring.scan import scan, whole_files
from jobs.scoring.source import source_path
from jobs.tables import Commit
from udfs.read_shard import PROVENANCE
from udfs.scoring.scorer import ScorerSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.config import Config


class ScoreConfig(BaseModel):
    """Section `score`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where an executor has it."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on CUDA, float32 on CPU."""
    token_budget: int = Field(default=16_384, ge=1_024)
    """Classifier tokens per forward pass."""
    threads_per_task: int = Field(default=1, ge=1)
    quarantine_tolerance: float = Field(default=0.01, ge=0, le=1)
    """Largest share of documents that may be quarantined; above it the verb exits with 3."""


def run(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Scores the source under every policy and returns the counts. A source already scored is left alone.

    Raises ConfigError, InputError, BalanceError, QuarantineError.
    """
    settings = _scorer_settings(config)
    _refuse_nesting(config)
    work = scan(config.source, spark)
    _refuse_clashes(work.schema, config)
    scores, quarantine = config.tables.table("scores"), config.tables.table("quarantine")
    commit = _commit(config, settings, work.versions)
    if not _is_current(scores.commit(spark), quarantine.commit(spark), commit):
        scored = work.scored(spark, work.plan(settings)).persist(_disk_only())
        try:
            with whole_files(spark):
                scored.count()  # fills the cache once, before the two tables read from it at the same time
            doubled = duplicates(scored)
            quarantine.replace(quarantined(scored, doubled, work.broken), commit)
            kept = without_duplicates(scored, doubled).drop("reason", "detail")
            scores.replace(kept, commit.model_copy(update={"counts": {"in": work.documents}}))
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
    return str(Path(bundle).absolute()) if Path(bundle).exists() else bundle


def _disk_only() -> Any:
    from pyspark import StorageLevel

    return StorageLevel.DISK_ONLY


def _refuse_clashes(schema: pa.Schema, config: "Config") -> None:
    """Names that would meet in one table; Spark does not tell capitals apart."""
    ours = {"doc_id", "text_hash", "reason", "detail", *(field.name for field in PROVENANCE), *config.policies}
    ours |= {f"doc_score_{policy}" for policy in config.policies}
    ours |= {FIRST, "decision", "forget_spans", "action", "forget_bytes", "rule_id", "batch"}
    clash = sorted(name for name in schema.names if name.lower() in ours)
    if clash:
        raise ConfigError(
            f"source column {clash[0]!r} has a name that our tables need; rename the column or the policy"
        )
    text = config.source.columns.text
    if text != "text" and "text" in (name.lower() for name in schema.names):
        raise ConfigError(
            "the masked table holds the text as `text`, but the source has another column of that name beside "
            f"source.columns.text={text}; rename it in the source"
        )


def _refuse_nesting(config: "Config") -> None:
    """Tables below the source's folder would be part of the source the next time."""
    source = Path(source_path(config.source))
    if source.is_dir() and config.tables.folder.resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"tables.root {config.tables.root} lies in source.path {config.source.path}; put it elsewhere"
        )


def _commit(config: "Config", settings: ScorerSettings, versions: dict[str, Any]) -> Commit:
    """Names what the table will hold: same source, columns and bundles, same name."""
    inputs = {
        "source": versions,
        "columns": config.source.columns.model_dump(),
        "bundles": {policy: bundle_id for policy, _, bundle_id in settings.bundles},
        "dtype": config.score.dtype,
    }
    return Commit(batch=content_id(inputs), inputs={"bundles": inputs["bundles"], "columns": inputs["columns"]})


def _is_current(scores: Commit | None, quarantine: Commit | None, wanted: Commit) -> bool:
    return bool(scores and quarantine and scores.batch == quarantine.batch == wanted.batch)


def _counts(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Counts what was written, and holds it against what was listed."""
    table = config.tables.table("scores")
    commit = table.commit(spark)
    assert commit is not None
    scored = table.read(spark).count()
    reasons = reason_counts(config.tables.table("quarantine").read(spark))
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
