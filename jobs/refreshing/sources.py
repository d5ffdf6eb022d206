"""Which source files are new, changed or gone: the source as listed against a ledger, and one ledger against another.

Nothing in the source is opened.
"""

from dataclasses import dataclass

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.releases.refresh_run import SourceChanges
from tokensieve.jobs.releases.release import Release
from tokensieve.jobs.source.changes import Changes, Deleted, changes
from tokensieve.jobs.source.files import source_path
from tokensieve.jobs.source.listing import Found, find_files
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.ledger import Ledger, sources_of
from tokensieve.jobs.tables.open_store import open_store
from tokensieve.jobs.tables.store import Store


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files against the ledger, or for a Delta source, which has no files of its own, its version.

    Attributes:
        found: the files as listed. ledger_id: of `ledger`, which the scores that stand name.
    """

    changes: Changes | None
    ledger: Ledger | None
    version: str | None
    found: Found | None = None
    ledger_id: str | None = None

    def __str__(self) -> str:
        if self.changes is None:
            return f"version {self.version}"
        counts = {name: len(getattr(self.changes, name)) for name in ("new", "changed", "gone", "missing", "kept")}
        return ", ".join(f"{count} {name}" for name, count in counts.items())

    def ledger_of(self, store: Store, release: Release | None) -> Ledger | None:
        """The ledger that a release names, read only where it is another one than `ledger`."""
        same = self.ledger is not None and release is not None and release.ledger == self.ledger_id
        return self.ledger if same else Ledger.of(store, release)


def look_at_sources(source: SourceConfig, tables: TablesConfig, deleted: Deleted) -> Sources:
    """Lists the source. Raises InputError: nothing there, or the ledger is missing."""
    if source.format == "delta":
        return Sources(changes=None, ledger=None, version=_delta_version(source))
    commit = tables.table("scores").commit()
    ledger, found = Ledger.of(tables.store, commit), find_files(source)
    return Sources(
        changes=changes(source, found, ledger, (), deleted),
        ledger=ledger,
        version=None,
        found=found,
        ledger_id=None if commit is None else commit.ledger,
    )


def broken(ledger: Ledger | None) -> dict[str, str]:
    """Files that could not be taken, to "reason: detail"."""
    return {name: f"{source.fault}: {source.detail}" for name, source in sources_of(ledger).items() if source.fault}


def _delta_version(source: SourceConfig) -> str | None:
    """The newest version in a Delta source's log; None where there is no log, which scoring says better."""
    log = open_store(source_path(source), source.storage).names("_delta_log")
    numbers = [name.removesuffix(".json") for name in log if name.endswith(".json")]
    return str(int(max(numbers))) if numbers else None


def source_changes(now: Ledger | None, before: Ledger | None, listed: Sources) -> SourceChanges:
    """`listed` says which files are missing. A Delta source has no files to speak of."""
    if now is None:
        return SourceChanges()
    known = sources_of(before)
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
