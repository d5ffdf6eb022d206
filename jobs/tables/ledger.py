"""The ledger of a `scores` version: every source file that it knows, and which version last wrote its rows.

An immutable Parquet file named by its content. The commit that it belongs to names it, so data and ledger appear in
one step; a ledger that no commit names is litter. It holds all sources, not a refresh's, so reading it takes the same
time after a thousand refreshes.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.jobs.errors import InputError
from tokensieve.jobs.tables.store import Store

FOLDER = "_ledger"
_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("version", pa.string()),
        pa.field("documents", pa.int64()),
        pa.field("fault", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("written", pa.int64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source file.

    Attributes:
        name: below the source's root, as the tables' column `source_file`.
        version: as listed when it was scored: `<bytes>-<mtime ns>`, or `<bytes>-<etag>`.
        documents: its rows; 1 for a file that could not be read at all, which is one quarantined document.
        fault, detail: why it could not be read; None where it was.
        written: the version of `scores` that last wrote its rows.
    """

    name: str
    version: str
    documents: int
    fault: str | None = None
    detail: str | None = None
    written: int


class NamesLedger(Protocol):
    """A commit or a release."""

    @property
    def ledger(self) -> str | None: ...


class Ledger:
    """Sources by name."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = dict(sorted(sources.items()))

    @property
    def documents(self) -> int:
        """Documents listed: rows of readable files, and one for each broken file."""
        return sum(source.documents for source in self.sources.values())

    @cached_property
    def id(self) -> str:
        """16 hex digits of the SHA-256 of the content."""
        digest = hashlib.sha256()
        for source in self.sources.values():
            digest.update(repr(tuple(asdict(source).values())).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]

    def changed_since(self, before: "Ledger | None") -> set[str]:
        """Sources whose rows were written after `before`, new ones among them."""
        known = sources_of(before)
        return {
            name for name, source in self.sources.items() if name not in known or known[name].written != source.written
        }

    def gone_since(self, before: "Ledger | None") -> set[str]:
        """Sources of `before` that this ledger does not have."""
        return sources_of(before).keys() - self.sources.keys()

    def save(self, store: Store) -> str:
        """Writes it where it is not there yet, and returns its id."""
        rows = [asdict(source) for source in self.sources.values()]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), buffer, compression="zstd")
        store.create(_file(self.id), buffer.getvalue())
        return self.id

    @classmethod
    def of(cls, store: Store, named_by: NamesLedger | None) -> Self | None:
        """The ledger that a commit or a release names; None where there is neither. Raises InputError as `load`."""
        return None if named_by is None or named_by.ledger is None else cls.load(store, named_by.ledger)

    @classmethod
    def load(cls, store: Store, id: str) -> Self:
        """Reads a ledger. Raises InputError where it is missing or damaged."""
        try:
            columns = pq.read_table(io.BytesIO(store.read(_file(id))), schema=_SCHEMA).to_pydict()
        except (FileNotFoundError, pa.ArrowException) as error:
            raise InputError(
                f"{store.uri(_file(id))}: the ledger that a commit names cannot be read ({error}); restore the file, "
                "or score into an empty tables.root"
            ) from error
        rows = zip(*(columns[name] for name in _SCHEMA.names))
        return cls({row[0]: Source(**dict(zip(_SCHEMA.names, row))) for row in rows})


def sources_of(ledger: Ledger | None) -> dict[str, Source]:
    """A ledger's sources; none without one, as before the first score and for a source of format delta."""
    return {} if ledger is None else ledger.sources


def _file(id: str) -> str:
    return f"{FOLDER}/{id}.parquet"
