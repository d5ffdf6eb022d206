"""Verb `score`: source in, tables `scores` and `quarantine` out. The only verb that runs a classifier.

Files that are new or changed since the table was written are read; another classifier or column means all of them.
The pass (jobs/scoring/stage.py) is persisted on disk between its two tables, which costs one local copy of that text.
Also an application: spark-submit jobs/score.py.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.config.score import CascadeConfig, ScoreConfig
from tokensieve.jobs.errors import BalanceError, QuarantineError
from tokensieve.jobs.policies.rules import load_bundles, token_thresholds
from tokensieve.jobs.scoring.cascade import checked, choose_thresholds
from tokensieve.jobs.scoring.job import SCHEMA, Job, plan_job, scorer_settings
from tokensieve.jobs.scoring.quarantined_rows import reason_counts, unscored
from tokensieve.jobs.scoring.refusals import refuse_clashes, refuse_nesting
from tokensieve.jobs.scoring.rows_that_stay import merged
from tokensieve.jobs.scoring.stage import GpuTasks, own_workers, score_plan, scored
from tokensieve.jobs.scoring.watch import watch_scoring
from tokensieve.jobs.source.changes import Deleted
from tokensieve.jobs.source.listing import Found
from tokensieve.jobs.source.scan import whole_files
from tokensieve.jobs.source.schema import to_text
from tokensieve.jobs.spark.progress import step
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.quarantine import KEY, read_quarantine
from tokensieve.jobs.tables.table import Commit
from tokensieve.udfs.files.content_id import content_id
from tokensieve.udfs.scoring.score_plan import ScorePlan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.config.corpus import Config
    from tokensieve.jobs.scoring.cascade import Stage
    from tokensieve.udfs.bundles.bundle import Bundle


def run(
    config: "Config",
    spark: "SparkSession",
    *,
    again: Collection[str] = (),
    deleted: Deleted = "retract",
    gate: bool = True,
    found: Found | None = None,
    bundles: "Mapping[str, Bundle] | None" = None,
) -> dict[str, Any]:
    """Scores what is new in the source under every policy; returns the counts of all. Nothing new: nothing is written.

    `again`: source files to score though they have not changed. `deleted`: whether the rows of files that are not there
    any more leave. `gate`: raise QuarantineError above the tolerance. `found`, `bundles`: what the caller has listed of
    the source and loaded of the policies already; None: does so itself. In the result, "sources" says what happened to
    which files, absent where nothing did; "device" what the devices did (`jobs.scoring.snapshot.device_figures`),
    absent where nothing was scored; "cascade" what a cascade kept and saved (`jobs.scoring.cascade.achieved`).

    Raises ConfigError, InputError, BalanceError, QuarantineError.
    """
    refuse_nesting(config.source, config.tables)
    bundles = bundles or load_bundles(config.policies)
    job = plan_job(config, scorer_settings(config.policies, config.score, bundles), spark, again, deleted, found)
    done = {} if job is None else _score(config, spark, job, bundles)
    with step(spark, "score: count what was written"):
        result = _counts(config.tables, spark) | _cascade_figures(config.tables, config.score.cascade, spark) | done
    if gate:
        _refuse_many(config.tables.root, config.score.quarantine_tolerance, result["documents"])
    return result


def _score(config: "Config", spark: "SparkSession", job: Job, bundles: "Mapping[str, Bundle]") -> dict[str, Any]:
    """Scores the job's files and commits both tables, `scores` last. Returns what happened to the files."""
    work = job.work
    refuse_clashes(work.schema, config.policies, config.source.columns.text)
    with watch_scoring(config.tables.store, work.amount, config.score.progress_json) as watch:
        stage = partial(scored, work, spark, gpu=_gpu_tasks(config.score))
        plan, cascade = _with_cascade(config, spark, stage, score_plan(work, job.settings), job, bundles)
        rows = stage(replace(plan, progress=watch and str(watch.folder))).persist(_disk_only())
        try:
            with step(spark, "score: read and score"), whole_files(spark), own_workers(spark):
                rows.count()  # fills the cache once, before the two tables read from it at the same time
            moved = _commit(config.tables, spark, job, rows, cascade)
        finally:
            rows.unpersist()
    device = watch.device() if watch and work.amount.documents else None
    return ({"device": device} if device else {}) | _said(job, moved)


def _commit(
    tables: TablesConfig, spark: "SparkSession", job: Job, scored: "DataFrame", cascade: dict[str, Any]
) -> tuple[str, ...]:
    """Writes both tables; the commit of `scores` names the `quarantine` that belongs to it. Returns `Merged.moved`."""
    found = merged(job.standing, job.changes, scored, unscored(scored, job.work.broken))
    table, quarantine = tables.table("scores"), tables.table("quarantine")
    try:
        with step(spark, "score: write quarantine"):
            pinned = quarantine.replace(found.quarantine, Commit(batch=job.batch))
        ledger = job.ledger(found.moved, table.newest())
        inputs = job.scored_by | {"scored_by": content_id(job.scored_by), SCHEMA: to_text(job.work.schema)} | cascade
        commit = Commit(
            batch=job.batch,
            inputs=inputs | {KEY: pinned.version},
            counts={"in": job.work.documents if ledger is None else ledger.documents},
            ledger=None if ledger is None else ledger.save(tables.store),
        )
        with step(spark, "score: write scores"):
            if job.base is None or job.changes is None:
                table.replace(found.scores, commit, sources=() if ledger is None else ledger.sources)
            else:
                leaving, incoming = job.changes.leaving | {*found.moved}, job.changes.scored | {*found.moved}
                table.update(found.scores, commit, job.base, leaving, incoming)
    finally:
        found.doubled.unpersist()
    tables.forget_old(quarantine)
    tables.forget_old(table)
    return found.moved


def _said(job: Job, moved: tuple[str, ...]) -> dict[str, Any]:
    """What happened to the source's files."""
    if job.changes is None:
        return {}
    names = {name: list(getattr(job.changes, name)) for name in ("new", "changed", "again", "gone")}
    broken = {one.name: f"{one.reason}: {one.detail}" for one in job.work.broken}
    return {"sources": {**names, "kept": len(job.changes.kept), "moved": list(moved), "broken": broken}}


def _with_cascade(
    config: "Config",
    spark: "SparkSession",
    stage: "Stage",
    plan: ScorePlan,
    job: Job,
    bundles: "Mapping[str, Bundle]",
) -> tuple[ScorePlan, dict[str, Any]]:
    """The plan with the configured cascade, and what the scores' commit says about it.

    Thresholds are chosen when a table begins, and hold for all of its rows.
    """
    settings, documents = config.score.cascade, job.work.documents
    if settings is None:
        return plan, {}
    if job.base is not None:
        inputs: Any = job.base.inputs["cascade_chosen"]
    else:
        levels = token_thresholds(config.policies, bundles)
        with step(spark, "score: choose the cascade's thresholds"), whole_files(spark), own_workers(spark):
            thresholds = settings.thresholds or choose_thresholds(settings, stage, plan, levels, documents)
        inputs = {"levels": levels, "thresholds": thresholds}
    chosen = replace(plan.scorer, cascade=settings.probing(inputs["thresholds"]))
    check = settings.sampling(documents, calibrate=False)
    return replace(plan, scorer=chosen, sampling=check), {"cascade_chosen": inputs}


def _cascade_figures(tables: TablesConfig, settings: CascadeConfig | None, spark: "SparkSession") -> dict[str, Any]:
    """What the cascade of the table that stands kept and saved on its sample."""
    table = tables.table("scores")
    commit = table.commit()
    if settings is None or commit is None:
        return {}
    said: Any = commit.inputs["cascade_chosen"]
    return {"cascade": checked(table.read(spark), said["levels"], settings.probing(said["thresholds"]))}


def _gpu_tasks(score: ScoreConfig) -> GpuTasks:
    return GpuTasks(per_gpu=score.tasks_per_gpu, cpus=score.cpus_per_gpu_task)


def _disk_only() -> Any:
    from pyspark import StorageLevel

    return StorageLevel.DISK_ONLY


def _counts(tables: TablesConfig, spark: "SparkSession") -> dict[str, Any]:
    """Counts what was written, and holds it against what was listed."""
    table = tables.table("scores")
    commit = table.commit()
    assert commit is not None
    scored = table.read(spark, commit.version).count()
    reasons = reason_counts(read_quarantine(tables, spark, commit.version))
    quarantined = sum(reasons.values())
    counts = {"in": commit.counts["in"], "scored": scored, "quarantine": quarantined, "reasons": reasons}
    if counts["in"] != scored + quarantined:
        raise BalanceError(
            f"{tables.root}: {counts['in']} documents listed, but {scored} scored and {quarantined} "
            "quarantined were written; score again into an empty tables.root and compare"
        )
    return {"batch": commit.batch, "documents": counts}


def _refuse_many(root: str, tolerance: float, counts: dict[str, Any]) -> None:
    if counts["quarantine"] > tolerance * counts["in"]:
        raise QuarantineError(
            f"{counts['quarantine']} of {counts['in']} documents quarantined ({counts['reasons']}), above "
            f"score.quarantine_tolerance={tolerance}; the tables are written, see {root}/quarantine"
        )


if __name__ == "__main__":
    from tokensieve.jobs.command.application import application

    application("score")
