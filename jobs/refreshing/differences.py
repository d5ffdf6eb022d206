"""Which source files are other ones in this release than in the previous one: the difference of two ledgers."""

from jobs.ledger import Ledger
from jobs.refreshing.night import SourceChanges
from jobs.refreshing.sources import Sources, broken


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
