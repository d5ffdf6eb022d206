"""What a source has become since its table was written: which files are new, changed, gone, and which stay."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from tokensieve.jobs.config.source import SourceConfig
from tokensieve.jobs.source.listing import Found, Listing
from tokensieve.jobs.tables.ledger import Ledger, Source, sources_of

Deleted = Literal["keep", "retract"]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Names of source files, each in one of these, sorted.

    Attributes:
        new, changed: to be scored. again: unchanged, but to be scored all the same.
        gone: no longer there, or excluded; their rows leave. kept: their rows stay. missing: the kept ones of which
            only the rows are still there.
        versions: every file's version as it was listed, of the kept ones as they were scored.
    """

    new: tuple[str, ...]
    changed: tuple[str, ...]
    again: tuple[str, ...]
    gone: tuple[str, ...]
    kept: tuple[str, ...]
    missing: tuple[str, ...]
    versions: dict[str, str]

    @property
    def scored(self) -> set[str]:
        """What the classifier reads."""
        return {*self.new, *self.changed, *self.again}

    @property
    def leaving(self) -> set[str]:
        """Whose rows of the table as it stands are of no more use."""
        return {*self.changed, *self.again, *self.gone}

    @property
    def any(self) -> bool:
        return bool(self.scored or self.gone)

    def with_again(self, names: Collection[str]) -> "Changes":
        """The same, some of the kept files being scored as well."""
        more = {name for name in self.kept if name in set(names)}
        kept = tuple(name for name in self.kept if name not in more)
        return replace(self, again=tuple(sorted({*self.again, *more})), kept=kept)


def changes(
    source: SourceConfig, found: Found, known: Ledger | None, again: Collection[str], deleted: Deleted
) -> Changes:
    """Compares the files that were found of a Parquet or JSONL source with a ledger; no file is opened.

    `deleted`: what happens to files of the ledger that are not there any more; excluded ones leave whatever it says.
    """
    there, before = found.versions, sources_of(known)
    absent = [name for name in before if name not in there]
    gone = [name for name in absent if deleted == "retract" or source.excludes(name)]
    stayed = [name for name in there if name in before and there[name] == before[name].version]
    compared = Changes(
        new=tuple(name for name in sorted(there) if name not in before),
        changed=tuple(name for name in sorted(there) if name in before and there[name] != before[name].version),
        again=(),
        gone=tuple(sorted(gone)),
        kept=tuple(sorted({*stayed, *absent} - {*gone})),
        missing=tuple(sorted({*absent} - {*gone})),
        versions=there | {name: before[name].version for name in absent if name not in gone},
    )
    return compared.with_again([name for name in again if name in there])


def ledger_after(
    known: Ledger | None, found: Changes, listing: Listing, moved: Collection[str], version: int
) -> Ledger:
    """The ledger of the table's next version: what was listed, and of what was kept the old entries.

    `moved`: kept files some of whose rows leave or change; they too are written by `version`.
    """
    before = sources_of(known)
    kept = {name: before[name] for name in found.kept}
    kept |= {name: replace(before[name], written=version) for name in moved}
    faults = {one.name: one for one in listing.broken}
    rows = listing.rows_of
    listed = {
        name: Source(
            name=name,
            version=listing.files[name],
            documents=rows[name],
            fault=faults[name].reason if name in faults else None,
            detail=faults[name].detail[:1000] if name in faults else None,
            written=version,
        )
        for name in listing.files
    }
    return Ledger(kept | listed)
