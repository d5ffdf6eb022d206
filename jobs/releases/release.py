"""A release: one immutable record of what belongs together, table versions, ledger, rules, bundles and shard manifest.

Training reads what a release names, `refresh --as-of` shows it, and vacuum keeps it. Records are put if absent and
numbered without gaps in the order they were made; one numbering serves all variants of a root.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tokensieve.jobs.errors import InputError

if TYPE_CHECKING:
    from tokensieve.jobs.tables.store import Store

FOLDER = "releases"


class Release(BaseModel):
    """`<root>/releases/<version:08d>.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["tokensieve-release/1"] = "tokensieve-release/1"
    version: int = Field(ge=1)
    made_at: datetime
    """UTC."""
    variant: str | None = None
    """`tables.variant` of the configuration that made it."""
    tables: Mapping[str, int]
    """The versions of scores, quarantine and masked (of the variant)."""
    ledger: str | None
    """The ledger of that scores version; None for a source of format delta."""
    score_id: str
    """Names all that scoring follows from but the source's files: columns, bundles, types, cascade."""
    rule_id: str
    """`<root>/rules/<rule_id>.json` holds the thresholds and rules."""
    export_id: str
    """Names the export's settings with its tokenizer."""
    bundles: Mapping[str, str]
    """Policy to bundle id."""
    bundle_names: Mapping[str, str]
    """Policy to the bundle as the configuration names it."""
    manifest: str
    """The id of the shard manifest."""
    source_version: str | None = None
    """Of a source of format delta; files have theirs in the ledger."""
    sources: int
    """Source files in the tables."""
    broken: int
    """Of them, files that could not be taken."""
    documents: Mapping[str, int]
    """in, keep, mask, hide, drop, quarantine; the first is the sum of the others."""
    reasons: Mapping[str, int]
    """Quarantined documents by reason."""
    forget_bytes: int
    tokens: int
    """Pretraining tokens in the shards, ends of documents counted."""
    loss_tokens: int

    @classmethod
    def load(cls, store: "Store", version: int) -> Self:
        """Reads a release. Raises InputError when it does not exist or is damaged."""
        name = _name(version)
        try:
            return cls.model_validate_json(store.read(name))
        except FileNotFoundError:
            known = releases(store)
            there = f"releases {known[0]} to {known[-1]} are there" if known else "no release was made yet"
            raise InputError(f"{store.uri(name)}: no release {version}; {there}") from None
        except ValidationError as error:
            raise InputError(f"{store.uri(name)}: not a release: {error}; restore the file from a copy") from error

    def create(self, store: "Store") -> bool:
        """Writes the release. False: another process made this version first."""
        return store.create(_name(self.version), (self.model_dump_json(indent=2) + "\n").encode())


def releases(store: "Store") -> list[int]:
    """The versions of all releases that are still kept, oldest first."""
    return sorted(int(name[:8]) for name in store.names(FOLDER) if name[:8].isdigit() and name[8:] == ".json")


def newest_release(store: "Store", variant: str | None, before: int | None = None) -> Release | None:
    """The newest release of a variant, of those older than version `before` if given; None: there is none."""
    for version in reversed(releases(store)):
        if before is None or version < before:
            release = Release.load(store, version)
            if release.variant == variant:
                return release
    return None


def _name(version: int) -> str:
    return f"{FOLDER}/{version:08d}.json"
