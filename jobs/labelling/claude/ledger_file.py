"""The file of the ledger: its tables, its lock, one transaction per change, and the questions that it answers.

SQLite's own exclusive lock keeps a second process out and goes with the process that holds it, however it ends. It is
only as good as the file system's locks: keep the ledger on a local disk. Most questions are about the wanted keys:
those that this process asks for.
"""

import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from tokensieve.jobs.labelling.claude.client import LedgerError

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
State = Literal["done", "refused", "failed"]


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


class LedgerReader(LedgerFile):
    """Questions to an open ledger; none of them changes it."""

    def want(self, keys: Iterable[str]) -> None:
        """Sets the keys that this process is about; changes nothing else."""
        with self._change() as db:
            db.execute("delete from wanted")
            db.executemany("insert into wanted (key) values (?)", ((key,) for key in keys))

    def money(self) -> tuple[float, float]:
        """Dollars (spent, reserved) over everything ever asked."""
        return self._all("select coalesce(sum(spent), 0.0), coalesce(sum(reserved), 0.0) from item")[0]

    def states(self) -> dict[str, int]:
        """How many of the wanted keys are in each state."""
        return dict(self._all("select state, count(*) from wanted join item using (key) group by state"))

    def todo(self, limit: int) -> list[str]:
        """Wanted keys that wait to be sent, in the order they are wanted."""
        query = (
            "select key from wanted join item using (key) where state = 'todo' and batch is null order by at limit ?"
        )
        return [key for (key,) in self._all(query, limit)]

    def waiting(self) -> list[str]:
        """Wanted keys that are not under way, also those of a chunk of direct calls that has begun."""
        return [key for (key,) in self._all("select key from wanted join item using (key) where state = 'todo'")]

    def unfinished(self) -> list[BatchRow]:
        """Batches under way that hold wanted keys, oldest first."""
        return self._batches("batch.state in ('intent', 'open')")

    def under_way(self) -> set[str]:
        """Wanted keys whose batch is not settled yet."""
        query = "select key from wanted join item using (key) join batch on batch = name where batch.state in (?, ?)"
        return {key for (key,) in self._all(query, "intent", "open")}

    def suspects(self) -> list[BatchRow]:
        """Batches whose canaries failed and that hold wanted keys."""
        return self._batches("batch.state = 'suspect'")

    def _batches(self, where: str) -> list[BatchRow]:
        names = "name, mode, id, state, created, note"
        held = "select batch from wanted join item using (key)"
        rows = self._all(f"select {names} from batch where {where} and name in ({held}) order by created, name")
        return [BatchRow(**dict(zip(names.split(", "), row, strict=True))) for row in rows]

    def ids(self) -> set[str]:
        """The server's names of all batches that are known."""
        return {one for (one,) in self._all("select id from batch where id is not null")}

    def members(self, batch: str, state: str = "%") -> dict[str, str | None]:
        """Custom ids of a batch (those in a state) with the right answer, as JSON, of those that are canaries."""
        return dict(self._all("select key, expected from item where batch = ? and state like ?", batch, state))

    def canaries(self, prompts: Collection[str], limit: int) -> list[bool]:
        """Whether the latest canaries of these prompts in accepted batches were right, newest batch first."""
        query = (
            "select correct from item join batch on batch = name where correct is not null and labeller = ? and "
            f"batch.state = 'accepted' and prompt in ({', '.join('?' * len(prompts))}) order by created desc limit ?"
        )
        return [bool(correct) for (correct,) in self._all(query, self._labeller, *prompts, limit)]

    def judged(self, batch: str) -> list[bool]:
        """Whether the canaries of one batch were right, those that were judged."""
        query = "select correct from item where batch = ? and correct is not null"
        return [bool(correct) for (correct,) in self._all(query, batch)]

    def answers(self) -> Iterator[tuple[str, State, str | None, str]]:
        """(key, state, value, detail) of the wanted keys that are settled in a batch that is accepted, or in none."""
        yield from self._db.execute(
            "select key, item.state, value, detail from wanted join item using (key) left join batch on batch = name "
            "where (item.state in ('done', 'refused') or item.state = 'failed' and attempts >= ?) "
            "and coalesce(batch.state, 'accepted') = 'accepted'",
            (self._most,),
        )
