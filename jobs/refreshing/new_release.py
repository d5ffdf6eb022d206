"""Makes the release of a refresh from what its steps did; where one was not due, the last release's figures hold."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tokensieve.jobs.errors import BusyError, InputError
from tokensieve.jobs.refreshing.plan import Plan
from tokensieve.jobs.releases.release import Release, releases
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.ledger import Ledger, sources_of
from tokensieve.jobs.tables.quarantine import pinned_version
from tokensieve.jobs.tables.table import Commit

LATER = {"version", "made_at"}  # what two releases of the same content differ in


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Counts of whole tables, as `Release` has them."""

    reasons: dict[str, int]
    documents: dict[str, int]
    forget_bytes: int
    manifest: str
    tokens: int
    loss_tokens: int

    @classmethod
    def of(cls, release: Release | None) -> "Figures":
        """Those of a release; of none they are empty."""
        if release is None:
            return cls(reasons={}, documents={}, forget_bytes=0, manifest="", tokens=0, loss_tokens=0)
        return cls(
            reasons=dict(release.reasons),
            documents=dict(release.documents),
            forget_bytes=release.forget_bytes,
            manifest=release.manifest,
            tokens=release.tokens,
            loss_tokens=release.loss_tokens,
        )

    def scored(self, result: dict[str, Any]) -> "Figures":
        """With what `score` returned."""
        return replace(self, reasons=result["documents"]["reasons"])

    def masked(self, result: dict[str, Any]) -> "Figures":
        """With what `mask` returned."""
        return replace(self, documents=result["documents"], forget_bytes=result["forget_bytes"])

    def exported(self, result: dict[str, Any]) -> "Figures":
        """With what `export` returned."""
        return replace(self, **{name: result[name] for name in ("manifest", "tokens", "loss_tokens")})


def new_release(tables: TablesConfig, bundle_names: dict[str, str], plan: Plan, figures: Figures) -> Release | None:
    """Writes a release of the tables as they stand, None where it would say what the previous one says.

    `bundle_names`: policy to the bundle as the configuration names it.

    Raises InputError when a table is missing, BusyError when another process made a release meanwhile.
    """
    store, ids, previous = tables.store, plan.ids, plan.previous
    scores, masked = _commit(tables, "scores"), _commit(tables, "masked")
    sources = sources_of(Ledger.of(store, scores))
    release = Release(
        version=max(releases(store), default=0) + 1,
        made_at=datetime.now(UTC),
        variant=tables.variant,
        tables={"scores": _version(scores), "quarantine": pinned_version(scores), "masked": _version(masked)},
        ledger=scores.ledger,
        score_id=ids.score,
        rule_id=ids.rules.rule_id,
        export_id=ids.export,
        bundles={name: entry.bundle_id for name, entry in ids.rules.policies.items()},
        bundle_names=bundle_names,
        source_version=plan.sources.version,
        sources=len(sources),
        broken=sum(source.fault is not None for source in sources.values()),
        **{name: getattr(figures, name) for name in Figures.__dataclass_fields__},
    )
    if previous is not None and release.model_dump(exclude=LATER) == previous.model_dump(exclude=LATER):
        return None
    if not release.create(store):
        raise BusyError(
            f"{store.uri()}: another process made release {release.version} meanwhile; nothing is damaged, run again"
        )
    return release


def _commit(tables: TablesConfig, table: str) -> Commit:
    commit = tables.table(table).commit()
    if commit is None:
        raise InputError(f"{tables.table(table).uri}: the table is missing; run `tokensieve refresh` again")
    return commit


def _version(commit: Commit) -> int:
    assert commit.version is not None, "a commit that was read has its version"
    return commit.version
