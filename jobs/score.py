"""Verb `score`: source in, tables `scores` and `quarantine` out. The only verb that runs a classifier.

The pass (jobs/scoring/scan.py) is persisted on disk between its two tables, so that a document is scored once; that
costs one local copy of the text. Also an application: spark-submit jobs/score.py.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import BalanceError, QuarantineError
from jobs.policies import content_id, load_bundle, token_thresholds
from jobs.progress import step
from jobs.scoring.cascade import checked, choose_thresholds
from jobs.scoring.outcome import duplicates, quarantined, reason_counts, without_duplicates
from jobs.scoring.profile import GpuTasks, own_workers
from jobs.scoring.refuse import refuse_clashes, refuse_nesting
from jobs.scoring.scan import scan, whole_files
from jobs.scoring.watch import watch_scoring
from jobs.tables import Commit
from udfs.scoring.score_plan import ScorePlan
from udfs.scoring.scorer import ScorerSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.config import Config
    from jobs.scoring.cascade import Stage


def run(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Scores the source under every policy and returns the counts. A source already scored is left alone.

    "device" is what the devices did (`jobs.scoring.snapshot.device_figures`), absent where nothing was scored;
    "cascade" what a cascade kept and saved (`jobs.scoring.cascade.achieved`).

    Raises ConfigError, InputError, BalanceError, QuarantineError.
    """
    settings = scorer_settings(config)
    refuse_nesting(config)
    work = scan(config.source, spark, config.score.partition_mb)
    refuse_clashes(work.schema, config)
    scores, quarantine = config.tables.table("scores"), config.tables.table("quarantine")
    commit = _commit(config, settings, work.versions)
    device: dict[str, Any] = {}
    if not _is_current(scores.commit(spark), quarantine.commit(spark), commit):
        with watch_scoring(config.tables.folder, work.amount, config.score.progress_json) as watch:
            stage = partial(work.scored, spark, gpu=_gpu_tasks(config))
            plan, inputs = _with_cascade(config, spark, stage, work.plan(settings), work.documents)
            scored = stage(replace(plan, progress=str(watch.folder))).persist(_disk_only())
            try:
                with step(spark, "score: read and score"), whole_files(spark), own_workers(spark):
                    scored.count()  # fills the cache once, before the two tables read from it at the same time
                doubled = duplicates(scored)
                with step(spark, "score: write quarantine"):
                    quarantine.replace(quarantined(scored, doubled, work.broken), commit)
                kept = without_duplicates(scored, doubled).drop("reason", "detail")
                with step(spark, "score: write scores"):
                    written = {"inputs": commit.inputs | inputs, "counts": {"in": work.documents}}
                    scores.replace(kept, commit.model_copy(update=written))
            finally:
                scored.unpersist()
        device = {"device": watch.device()}
    with step(spark, "score: count what was written"):
        return _counts(config, spark) | _cascade_figures(config, spark) | device


def _with_cascade(
    config: "Config", spark: "SparkSession", stage: "Stage", plan: ScorePlan, documents: int
) -> tuple[ScorePlan, dict[str, Any]]:
    """The plan with the configured cascade, thresholds chosen; and what the scores' commit says about it."""
    settings = config.score.cascade
    if settings is None:
        return plan, {}
    levels = token_thresholds(config.policies)
    with step(spark, "score: choose the cascade's thresholds"), whole_files(spark), own_workers(spark):
        thresholds = settings.thresholds or choose_thresholds(settings, stage, plan, levels, documents)
    chosen = replace(plan.scorer, cascade=settings.probing(thresholds))
    check = settings.sampling(documents, calibrate=False)
    inputs = {"cascade": {"levels": levels, "thresholds": thresholds}}
    return replace(plan, scorer=chosen, sampling=check), inputs


def _cascade_figures(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """What the cascade of the table that stands kept and saved on its sample."""
    table = config.tables.table("scores")
    commit, settings = table.commit(spark), config.score.cascade
    if settings is None or commit is None:
        return {}
    said: Any = commit.inputs["cascade"]
    return {"cascade": checked(table.read(spark), said["levels"], settings.probing(said["thresholds"]))}


def scorer_settings(config: "Config") -> ScorerSettings:
    bundles = [(name, policy.bundle, load_bundle(name, policy)) for name, policy in config.policies.items()]
    return ScorerSettings(
        bundles=tuple((name, _reference(path), bundle.bundle_id) for name, path, bundle in sorted(bundles)),
        backend=config.score.backend,
        device=config.score.device,
        dtype=config.score.dtype,
        token_budget=config.score.token_budget,
        threads=config.score.threads_per_task,
    )


def _gpu_tasks(config: "Config") -> GpuTasks:
    return GpuTasks(per_gpu=config.score.tasks_per_gpu, cpus=config.score.cpus_per_gpu_task)


def _reference(bundle: str) -> str:
    """Executors run in other folders: a path is sent whole, a preset's name as it is."""
    return str(Path(bundle).absolute()) if Path(bundle).exists() else bundle


def _disk_only() -> Any:
    from pyspark import StorageLevel

    return StorageLevel.DISK_ONLY


def _commit(config: "Config", settings: ScorerSettings, versions: dict[str, Any]) -> Commit:
    """Names what the table will hold: same source, columns and bundles, same name."""
    inputs = {
        "source": versions,
        "columns": config.source.columns.model_dump(),
        "bundles": {policy: bundle_id for policy, _, bundle_id in settings.bundles},
        "dtype": config.score.dtype,
        "backend": config.score.backend,
        "cascade": config.score.cascade and config.score.cascade.model_dump(),
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
