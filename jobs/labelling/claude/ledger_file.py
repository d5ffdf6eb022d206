"""The file of the ledger: its tables, its lock, and one transaction per change.

SQLite's own exclusive lock keeps a second process out and goes with the process that holds it, however it ends. It is
only as good as the file system's locks: keep the ledger on a local disk.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from jobs.labelling.claude.errors import LedgerError

VERSION = 1
_SCHEMA = """
create table batch (
  name text primary key,
  mode text not null check (mode in ('batch', 'direct')),
  id text unique,
  state text not null check (state in ('intent', 'open', 'accepted', 'suspect', 'abandoned')),
  created real not null,
  note text not null default ''
);
create table item (
  key text primary key,
  prompt text not null,
  labeller text not null,
  state text not null default 'todo' check (state in ('todo', 'intent', 'sent', 'done', 'refused', 'failed')),
  batch text references batch(name),
  attempts integer not null default 0,
  reserved real not null default 0,
  spent real not null default 0,
  input_tokens integer not null default 0,
  output_tokens integer not null default 0,
  value text,
  detail text not null default '',
  expected text,
  correct integer
);
create index item_batch on item(batch);
"""


@dataclass(frozen=True, kw_only=True)
class BatchRow:
    """A batch as the ledger knows it: `id` is the server's name of it, None until it is known to have arrived."""

    name: str
    mode: Literal["batch", "direct"]
    id: str | None
    state: str
    created: float
    note: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One request on its way: its custom_id, its prompt, the most it may cost; a canary's right answer as JSON."""

    key: str
    prompt: str
    reserved: float = 0.0
    expected: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one attempt. `state` todo: not an answer, `detail` says why. `correct`: of a canary, if judged."""

    key: str
    state: Literal["todo", "done", "refused"]
    value: str | None = None
    detail: str = ""
    spent: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    correct: bool | None = None


def batch_name() -> str:
    """A new name for a batch; it begins with a letter, so that no command line takes it for a number."""
    return "b" + secrets.token_hex(8)


class LedgerFile:
    """An open ledger; use it as a context manager. Raises LedgerError: in use, damaged, of another version."""

    def __init__(self, path: Path, labeller: str, max_attempts: int) -> None:
        self.path, self._labeller, self._most = path, labeller, max_attempts
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            self._lock_and_create()
        except sqlite3.Error as error:
            self._db.close()
            busy = "locked" in str(error)
            why = "another process is using it; wait for that one, or stop it" if busy else f"{error}; restore a backup"
            raise LedgerError(f"{path}: the ledger cannot be opened: {why}") from error

    def _lock_and_create(self) -> None:
        self._db.execute("pragma locking_mode = exclusive")
        self._db.execute("begin exclusive")  # the lock stays until the connection closes
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version == 0:
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"pragma user_version = {VERSION}")
        self._db.execute("commit")
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}, this program writes version {VERSION}")
        self._db.execute("create temp table wanted (at integer primary key, key text unique)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._db:  # commits, or rolls back and lets the error through
            self._db.execute("begin immediate")
            yield self._db

    def _all(self, query: str, *values: Any) -> list[Any]:
        return self._db.execute(query, values).fetchall()
