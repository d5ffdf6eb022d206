"""Verb `refresh`: brings tables and shards up to the source and the configuration, and releases them. Run every night.

It calls `score`, `mask` and `export`, each of which does only what is new to it; a refresh that died is repaired by
running it again. With nothing new it ends before a Spark session is opened. Also an application: spark-submit
jobs/refresh.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.jobs import export, mask, score
from tokensieve.jobs.errors import ConfigError, executor_errors
from tokensieve.jobs.refreshing import tolerance
from tokensieve.jobs.refreshing.new_release import Figures, new_release
from tokensieve.jobs.refreshing.plan import Plan, plan
from tokensieve.jobs.refreshing.publish import publish
from tokensieve.jobs.refreshing.run_log import Recorder, device_use
from tokensieve.jobs.refreshing.sources import source_changes
from tokensieve.jobs.releases.refresh_run import RefreshRun, Step
from tokensieve.jobs.releases.release import Release, newest_release
from tokensieve.jobs.releases.release_report import reported
from tokensieve.jobs.tables.lock import Lock, locked

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.config.corpus import Config


Session = Callable[[], "SparkSession"]
"""Opens the session where there is none; a refresh with nothing to do never calls it."""


def run(config: "Config", session: Session, *, replay: bool = False) -> RefreshRun:
    """One refresh. `replay`: source files with rows that could not be scored are scored again.

    Raises BusyError when another refresh runs, QuarantineError above the tolerance, and what the verbs raise; all but
    the first leave their words in refresh.json.
    """
    with (
        locked(config.tables.store, config.refresh.lock_lease_s, "refresh") as lock,
        Recorder(config) as recorder,
    ):
        again = tolerance.replayed(config.tables, session()) if replay else []
        found = plan(config, replay=bool(again))
        recorder.note(release=found.previous.version if found.previous else None)
        return _Steps(config=config, session=session, lock=lock, recorder=recorder, plan=found, again=again).run()


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """The steps of one refresh; each returns the figures of the corpus as it left them."""

    config: "Config"
    session: Session
    lock: Lock
    recorder: Recorder
    plan: Plan
    again: list[str]

    def run(self) -> RefreshRun:
        steps: dict[Step, Callable[[Figures], Figures]] = {
            "score": self._score,
            "mask": self._mask,
            "export": self._export,
        }
        figures = Figures.of(self.plan.previous)
        for name, work in steps.items():
            if name in self.plan.due:
                self.lock.check()
                with self.recorder.step(name), executor_errors(name):
                    figures = work(figures)
        made = self._release(figures) if "release" in self.plan.due else None
        release = made or self.plan.previous
        assert release is not None, "without a release every step is due"
        return self._report(release)

    def _score(self, figures: Figures) -> Figures:
        config, spark = self.config, self.session()
        # The listing of the plan, however long ago it was made: this release is the source as it was then. A file that
        # came since belongs to the next refresh, as does one that comes while this one scores; looking again would only
        # move the line. What was replaced since is read as it is now, what went is a `vanished_file`.
        result = score.run(
            config,
            spark,
            again=self.again,
            deleted=config.refresh.deleted,
            gate=False,
            found=self.plan.sources.found,
            bundles=self.plan.bundles,
        )
        files = result.get("sources", {})
        self.recorder.note(
            scored=tuple(sorted(name for kind in ("new", "changed", "again") for name in files.get(kind, ()))),
            device=device_use(result.get("device"), config.score.cost),
        )
        measured, by_file = tolerance.measure(
            config.tables, config.score.quarantine_tolerance, spark, self.plan.previous
        )
        self.recorder.note(gate=measured)
        tolerance.refuse(config.tables, measured, by_file)
        return figures.scored(result)

    def _mask(self, figures: Figures) -> Figures:
        return figures.masked(mask.run(self.config, self.session(), rules=self.plan.ids.rules))

    def _export(self, figures: Figures) -> Figures:
        return figures.exported(export.run(self.config, self.session(), rules=self.plan.ids.rules))

    def _release(self, figures: Figures) -> Release | None:
        self.lock.check()
        with self.recorder.step("release"):
            bundle_names = {name: policy.bundle for name, policy in self.config.policies.items()}
            return new_release(self.config.tables, bundle_names, self.plan, figures)

    def _report(self, release: Release) -> RefreshRun:
        """Tells of the release, also of one whose refresh died before that."""
        store, recorder, sources = self.config.tables.store, self.recorder, self.plan.sources
        previous = newest_release(store, release.variant, before=release.version)
        told = reported(store, release.version)
        after = sources.ledger_of(store, release)
        before = after if told else sources.ledger_of(store, previous)
        changes = source_changes(after, before, sources)
        recorder.of_release(release, previous, changes)
        if told:
            return publish(self.config, None, release, previous, recorder.ended("nothing_new"))
        with recorder.step("report"), executor_errors("report"):
            return publish(self.config, self.session(), release, previous, recorder.ended("done"))


def refresh(
    config: "Config",
    session: "Callable[[], SparkSession]",
    *,
    dry_run: bool = False,
    replay: bool = False,
    as_of: int | None = None,
    rebuild: Path | None = None,
) -> dict[str, Any]:
    """Raises ConfigError for options that exclude each other, and what the refresh, or the release, raises."""
    if as_of is None:
        if rebuild is not None:
            raise ConfigError("--rebuild needs --as-of VERSION, the release whose shards it makes")
        if dry_run:
            from tokensieve.jobs.refreshing.dry_run import dry_run as look

            return look(config, replay)
        return _said(run(config, session, replay=replay))
    if dry_run or replay:
        raise ConfigError("--as-of shows a release that was made; --dry-run and --replay are about the next one")
    from tokensieve.jobs.refreshing import as_of as past

    return past.show(config, as_of) if rebuild is None else past.rebuild(config, session, as_of, rebuild)


def _said(run: RefreshRun) -> dict[str, Any]:
    """The refresh in a few lines; refresh.json has all of it."""
    changes = run.sources
    kinds = ("new", "changed", "gone", "missing", "rescored", "broken")
    counts = {name: len(getattr(changes, name)) for name in kinds}
    return {
        "state": run.state,
        "release": run.release,
        "sources": counts | {"kept": changes.kept},
        "documents": dict(run.documents),
        "tokens": run.tokens,
        "loss_tokens": run.loss_tokens,
        **({"seconds": dict(run.seconds)} if run.seconds else {}),
        "duration_s": round(run.duration_s, 3),
    }


if __name__ == "__main__":
    from tokensieve.jobs.command.application import application

    application("refresh")
