"""Reads a release's report from the tables that it pins: of rows that did not change, only the previous report's sums.

Totals are the previous ones, less what changed and vanished source files held then, plus what they hold now; a release
without a usable predecessor is counted whole. Only sums come to the driver.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokensieve.jobs.config.refresh import DriftConfig
from tokensieve.jobs.refreshing.bundle_change import bundle_changes, flips, rule_changes
from tokensieve.jobs.refreshing.row_sums import Sums, sums_of
from tokensieve.jobs.refreshing.score_profiles import drift_of, profiles_of
from tokensieve.jobs.releases.refresh_run import SourceChanges
from tokensieve.jobs.releases.release import Release
from tokensieve.jobs.releases.release_report import HISTORY, Point, ReleaseReport, ReportFile, Sources, Totals
from tokensieve.jobs.tables.ledger import Ledger

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.tables.config import TablesConfig


@dataclass(frozen=True, kw_only=True)
class Written:
    """Source files whose rows a release has anew.

    `now`: those files, None for all. `then`: those of which the previous release had rows, vanished ones among them;
    None where its sums cannot be built upon.
    """

    now: Collection[str] | None
    then: Collection[str] | None


def gather(
    tables: "TablesConfig",
    drift: DriftConfig,
    spark: "SparkSession",
    release: Release,
    previous: Release | None,
    changes: SourceChanges,
) -> ReportFile:
    """The report of a release against the previous one of its variant.

    Raises InputError where a table, a ledger or the rules that one of them pins is missing.
    """
    earlier = None
    if previous:  # killed before its report was written: all its documents are the reference
        loaded = ReportFile.load(tables.store, previous.version)
        earlier = loaded or gather(tables, drift, spark, previous, None, SourceChanges())
    written = _written(tables, release, previous)
    changed = bundle_changes(tables, spark, release, previous) if previous else {}
    same = {name: both for name, (_, both) in changed.items()}
    profiles = profiles_of(tables, spark, release, written.now, earlier, same)
    totals = _totals(tables, spark, release, previous, written, earlier)
    new_files = bool(changes.new or changes.changed) or previous is None
    report = ReleaseReport(
        release=release.version,
        previous=previous.version if previous else None,
        made_at=release.made_at,
        last_new_at=release.made_at if new_files else earlier and earlier.report.last_new_at,
        totals=totals,
        before=earlier.report.totals if earlier else None,
        sources=Sources.of(changes),
        bundles=release.bundle_names,
        drift={name: drift_of(name, profile, earlier, drift) for name, profile in profiles.items()},
        bundle_changes={name: change for name, (change, _) in changed.items()},
        rule_changes=rule_changes(tables, release, previous) if previous else (),
        flips=flips(tables, spark, release, previous) if previous and previous.rule_id != release.rule_id else None,
        history=_history(release, totals, earlier),
    )
    return ReportFile(report=report, profiles=profiles)


def _written(tables: "TablesConfig", release: Release, previous: Release | None) -> Written:
    """By the difference of the two ledgers. A source without one was written whole."""
    after, before = (Ledger.of(tables.store, one) for one in (release, previous))
    if after is None or before is None or previous is None:
        return Written(now=None, then=None)
    changed = after.changed_since(before)
    touched = (changed | after.gone_since(before)) & before.sources.keys()
    return Written(
        now=None if len(changed) == len(after.sources) else sorted(changed),
        then=sorted(touched) if release.rule_id == previous.rule_id else None,
    )


def _totals(
    tables: "TablesConfig",
    spark: "SparkSession",
    release: Release,
    previous: Release | None,
    written: Written,
    earlier: ReportFile | None,
) -> Totals:
    """Built upon the previous release's where that gives as many documents as this release has, else counted whole."""
    policies, table = sorted(release.bundles), tables.table("masked")
    if previous and earlier and written.now is not None and written.then is not None:
        left = sums_of(table, spark, previous, policies, written.then)
        came = sums_of(table, spark, release, policies, written.now)
        built = Sums.of(earlier.report.totals) - left + came
        if built.documents == release.documents["in"] - release.documents["quarantine"]:
            return built.totals(release)
    return sums_of(table, spark, release, policies, None).totals(release)


def _history(release: Release, totals: Totals, earlier: ReportFile | None) -> tuple[Point, ...]:
    point = Point(
        release=release.version,
        made_at=release.made_at,
        documents=release.documents["in"],
        forget_share={policy: totals.forget_share(policy) for policy in totals.forget_bytes},
    )
    return (*(earlier.report.history if earlier else ()), point)[-HISTORY:]
