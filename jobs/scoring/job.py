"""What a scoring run has to do: everything, what has changed, or nothing. Decided from the table's last commit."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.config.policy import PolicyConfig
from tokensieve.jobs.config.score import ScoreConfig
from tokensieve.jobs.config.source import ColumnsConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.scoring.rows_that_stay import Standing
from tokensieve.jobs.source.changes import Changes, Deleted, changes, ledger_after
from tokensieve.jobs.source.listing import Found, find_files
from tokensieve.jobs.source.scan import FileScan, TableScan
from tokensieve.jobs.source.schema import from_text
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.ledger import Ledger, sources_of
from tokensieve.jobs.tables.quarantine import pinned_version
from tokensieve.jobs.tables.table import Commit
from tokensieve.udfs.files.content_id import content_id
from tokensieve.udfs.reading.fault_reasons import VANISHED_FILE
from tokensieve.udfs.scoring.scorer import ScorerSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.config.corpus import Config
    from tokensieve.udfs.bundles.bundle import Bundle


SCHEMA = "schema"  # in the inputs of a commit of `scores`: the source's columns


def scored_by(columns: ColumnsConfig, score: ScoreConfig, bundles: Mapping[str, str]) -> dict[str, Any]:
    """All that scores follow from but the source's files; `bundles`: policy to the id of its bundle."""
    return {
        "columns": columns.model_dump(),
        "bundles": dict(bundles),
        "dtype": score.dtype,
        "backend": score.backend,
        "cascade": score.cascade and score.cascade.model_dump(),
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


def _base_commit(tables: TablesConfig, by: dict[str, Any]) -> Commit | None:
    """The commit of the scores that a run can build on: made from the same columns by the same classifiers."""
    commit = tables.table("scores").commit()
    return commit if commit is not None and commit.inputs.get("scored_by") == content_id(by) else None


def plan_job(
    config: "Config",
    settings: "ScorerSettings",
    spark: "SparkSession",
    again: Collection[str],
    deleted: Deleted,
    found: Found | None = None,
) -> Job | None:
    """The job of a run, None where nothing has changed. `found`: as `jobs.source.listing.list_files`.

    Raises InputError.
    """
    by = scored_by(config.source.columns, config.score, {policy: id for policy, _, id in settings.bundles})
    base = _base_commit(config.tables, by)
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
    found = found or find_files(config.source)
    compared = changes(config.source, found, known, again, deleted)
    if base is not None and not compared.any:
        return None
    standing = None if base is None else _standing(config.tables, spark, base)
    if standing is not None:
        compared = compared.with_again(_readable(standing.restored(compared), compared))
    settled = None if base is None else from_text(str(base.inputs[SCHEMA]))
    work = FileScan(config.source, config.score.partition_mb, compared.scored, settled, found)
    went = {one.name for one in work.broken if one.reason == VANISHED_FILE} & sources_of(known).keys()
    if went:  # as if they had gone before the listing: `deleted` says whether the rows that they have stay
        return plan_job(config, settings, spark, again, deleted, found.without(went))
    return Job(
        work=work,
        settings=settings,
        scored_by=by,
        base=base,
        known=known,
        standing=standing,
        changes=compared,
        # By the versions that were opened: a file that went after it was listed is not what it would have been.
        batch=content_id({"source": compared.versions | work.versions, **by}),
    )


def _readable(restored: list[str], compared: Changes) -> list[str]:
    """Raises InputError for a file that has to be read again, and is kept in the tables but gone from the source."""
    absent = sorted({*restored} & {*compared.missing})
    if absent:
        raise InputError(
            f"source: {absent[0]} is no longer there ({len(absent)} such files), and it has rows that were quarantined "
            "as copies of rows that leave now, so it would have to be read again; put it back, or name it in "
            "source.exclude, which lets its rows go"
        )
    return restored


def _standing(tables: TablesConfig, spark: "SparkSession", base: Commit) -> Standing:
    return Standing(
        scores=tables.table("scores").read(spark, base.version),
        quarantine=tables.table("quarantine").read(spark, pinned_version(base)),
    )


def scorer_settings(
    policies: Mapping[str, PolicyConfig], score: ScoreConfig, bundles: "Mapping[str, Bundle]"
) -> ScorerSettings:
    """What executors are told of the classifiers; `bundles`: as `jobs.policies.rules.load_bundles`."""
    return ScorerSettings(
        bundles=tuple((name, _reference(policies[name].bundle), bundles[name].bundle_id) for name in sorted(policies)),
        backend=score.backend,
        device=score.device,
        dtype=score.dtype,
        token_budget=score.token_budget,
        threads=score.threads_per_task,
    )


def _reference(bundle: str) -> str:
    """Executors run in other folders: a path is sent whole, a preset's name as it is."""
    return str(Path(bundle).absolute()) if Path(bundle).exists() else bundle
