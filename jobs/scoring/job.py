"""What a scoring run has to do: everything, what has changed, or nothing. Decided from the table's last commit."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.policies.rules import load_bundle
from tokensieve.jobs.scoring.rows_that_stay import Standing
from tokensieve.jobs.source.changes import Changes, Deleted, changes, ledger_after
from tokensieve.jobs.source.scan import FileScan, TableScan
from tokensieve.jobs.source.schema import from_text
from tokensieve.jobs.tables.ledger import Ledger
from tokensieve.jobs.tables.quarantine import pinned_version
from tokensieve.jobs.tables.table import Commit
from tokensieve.udfs.files.content_id import content_id
from tokensieve.udfs.scoring.scorer import ScorerSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.config.corpus import Config


SCHEMA = "schema"  # in the inputs of a commit of `scores`: the source's columns


def scored_by(config: "Config", bundles: Mapping[str, str]) -> dict[str, Any]:
    """All that scores follow from but the source's files; `bundles`: policy to the id of its bundle."""
    return {
        "columns": config.source.columns.model_dump(),
        "bundles": dict(bundles),
        "dtype": config.score.dtype,
        "backend": config.score.backend,
        "cascade": config.score.cascade and config.score.cascade.model_dump(),
    }


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be done.

    Attributes:
        work: what the classifier reads. settings: how. scored_by: on what scores depend but the text.
        base: the commit that the table gets a change to, with `known` sources and the rows that stay; None: it is
            written whole.
        changes: None for a Delta source, which has no files of its own.
        batch: the name of what the table will hold.
    """

    work: FileScan | TableScan
    settings: "ScorerSettings"
    scored_by: dict[str, Any]
    base: Commit | None
    known: Ledger | None
    standing: Standing | None
    changes: Changes | None
    batch: str

    def ledger(self, moved: Collection[str], newest: int | None) -> Ledger | None:
        """The ledger of the version that follows `newest`; None for a Delta source."""
        if self.changes is None or isinstance(self.work, TableScan):
            return None
        version = 0 if newest is None else newest + 1
        return ledger_after(self.known, self.changes, self.work.listing, moved, version)


def base_commit(config: "Config", by: dict[str, Any]) -> Commit | None:
    """The commit of the scores that a run can build on: made from the same columns by the same classifiers."""
    commit = config.tables.table("scores").commit()
    return commit if commit is not None and commit.inputs.get("scored_by") == content_id(by) else None


def plan_job(
    config: "Config", settings: "ScorerSettings", spark: "SparkSession", again: Collection[str], deleted: Deleted
) -> Job | None:
    """The job of a run, None where nothing has changed. Raises InputError."""
    by = scored_by(config, {policy: bundle_id for policy, _, bundle_id in settings.bundles})
    base = base_commit(config, by)
    if config.source.format == "delta":
        table = TableScan(config.source, spark)
        batch = content_id({"source": table.versions, **by})
        if base is not None and base.batch == batch and not again:
            return None
        return Job(
            work=table, settings=settings, scored_by=by, base=None, known=None, standing=None, changes=None, batch=batch
        )
    known = Ledger.of(config.tables.store, base)
    if known is None:
        base = None
    found = changes(config.source, known, again, deleted)
    if base is not None and not found.any:
        return None
    standing = None if base is None else _standing(config, spark, base)
    if standing is not None:
        found = found.with_again(standing.restored(found))
    settled = None if base is None else from_text(str(base.inputs[SCHEMA]))
    return Job(
        work=FileScan(config.source, config.score.partition_mb, found.scored, settled),
        settings=settings,
        scored_by=by,
        base=base,
        known=known,
        standing=standing,
        changes=found,
        batch=content_id({"source": found.versions, **by}),
    )


def _standing(config: "Config", spark: "SparkSession", base: Commit) -> Standing:
    return Standing(
        scores=config.tables.table("scores").read(spark, base.version),
        quarantine=config.tables.table("quarantine").read(spark, pinned_version(base)),
    )


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


def _reference(bundle: str) -> str:
    """Executors run in other folders: a path is sent whole, a preset's name as it is."""
    return str(Path(bundle).absolute()) if Path(bundle).exists() else bundle
