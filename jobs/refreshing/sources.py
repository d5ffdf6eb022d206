"""Which source files are new, changed or gone: the source as listed against a ledger, and one ledger against another.

Nothing in the source is opened.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokensieve.jobs.releases.refresh_run import SourceChanges
from tokensieve.jobs.source.changes import Changes, changes
from tokensieve.jobs.source.files import source_path
from tokensieve.jobs.tables.ledger import Ledger
from tokensieve.jobs.tables.open_store import open_store

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files against the ledger, or for a Delta source, which has no files of its own, its version."""

    changes: Changes | None
    ledger: Ledger | None
    version: str | None

    def __str__(self) -> str:
        if self.changes is None:
            return f"version {self.version}"
        counts = {name: len(getattr(self.changes, name)) for name in ("new", "changed", "gone", "missing", "kept")}
        return ", ".join(f"{count} {name}" for name, count in counts.items())


def look_at_sources(config: "Config") -> Sources:
    """Lists the source. Raises InputError: nothing there, or the ledger is missing."""
    if config.source.format == "delta":
        return Sources(changes=None, ledger=None, version=_delta_version(config))
    ledger = newest_ledger(config)
    return Sources(changes=changes(config.source, ledger, (), config.refresh.deleted), ledger=ledger, version=None)


def newest_ledger(config: "Config") -> Ledger | None:
    """The ledger of the scores that stand; None before the first, and for a source of format delta."""
    return Ledger.of(config.tables.store, config.tables.table("scores").commit())


def broken(ledger: Ledger | None) -> dict[str, str]:
    """Files that could not be taken, to "reason: detail"."""
    sources = {} if ledger is None else ledger.sources
    return {name: f"{source.fault}: {source.detail}" for name, source in sources.items() if source.fault}


def _delta_version(config: "Config") -> str | None:
    """The newest version in a Delta source's log; None where there is no log, which scoring says better."""
    log = open_store(source_path(config.source), config.source.storage).names("_delta_log")
    numbers = [name.removesuffix(".json") for name in log if name.endswith(".json")]
    return str(int(max(numbers))) if numbers else None


def source_changes(now: Ledger | None, before: Ledger | None, listed: Sources) -> SourceChanges:
    """`listed` says which files are missing. A Delta source has no files to speak of."""
    if now is None:
        return SourceChanges()
    known = {} if before is None else before.sources
    written = now.changed_since(before)
    changed = {name for name in written & known.keys() if now.sources[name].version != known[name].version}
    missing = set() if listed.changes is None else set(listed.changes.missing) & now.sources.keys()
    return SourceChanges(
        new=tuple(sorted(written - known.keys())),
        changed=tuple(sorted(changed - missing)),
        gone=tuple(sorted(now.gone_since(before))),
        missing=tuple(sorted(missing)),
        rescored=tuple(sorted((written & known.keys()) - changed - missing)),
        kept=len(now.sources) - len(written),
        broken=broken(now),
    )
