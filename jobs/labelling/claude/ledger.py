"""The ledger: what was asked, what it cost, what came back. One SQLite file, one process, every change a transaction.

It holds keys, answers, counts and dollars. It never holds a text, a prompt or an API key: a caller that wants an answer
renders its request again. An answer may quote its text, so keep the file with the tables it belongs to.

A request goes todo -> intent -> sent -> done | refused | failed, and back to todo for another attempt. A batch goes
intent -> open -> accepted | suspect | abandoned; a row only answers when its batch is accepted. "intent" is written
before the server hears of it, so a reply that is lost is never paid for unknowingly. A chunk of direct calls is a batch
too; its calls are written down one by one.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from tokensieve.jobs.labelling.claude.ledger_file import Entry, LedgerReader, Outcome


class Ledger(LedgerReader):
    """The changes that an open ledger can go through."""

    def add(self, prompts: Mapping[str, str]) -> None:
        """Wanted keys (with their prompts) that are new become todo, and failed ones that have attempts left."""
        rows = ((key, prompt, self._labeller) for key, prompt in prompts.items())
        with self._change() as db:
            db.executemany("insert or ignore into item (key, prompt, labeller) values (?, ?, ?)", rows)
            db.execute(
                "update item set state = 'todo', batch = null "
                "where state = 'failed' and attempts < ? and key in (select key from wanted)",
                (self._most,),
            )

    def intend(self, batch: str, mode: Literal["batch", "direct"], entries: Sequence[Entry]) -> None:
        """Writes down what is about to be sent. A direct chunk reserves nothing yet: each call does (`begin`)."""
        state, item = ("intent", "intent") if mode == "batch" else ("open", "todo")
        canaries = [(one.key, one.prompt, self._labeller, one.expected) for one in entries if one.expected is not None]
        with self._change() as db:
            db.execute(
                "insert into batch (name, mode, state, created) values (?, ?, ?, ?)", (batch, mode, state, time.time())
            )
            db.executemany("insert into item (key, prompt, labeller, expected) values (?, ?, ?, ?)", canaries)
            db.executemany(
                "update item set state = ?, batch = ?, reserved = ? where key = ? and state = 'todo'",
                [(item, batch, one.reserved, one.key) for one in entries],
            )

    def arrived(self, batch: str, server_id: str) -> None:
        """The server has the batch and calls it `server_id`."""
        with self._change() as db:
            db.execute("update batch set id = ?, state = 'open' where name = ?", (server_id, batch))
            db.execute("update item set state = 'sent' where batch = ? and state = 'intent'", (batch,))

    def take_back(self, batch: str) -> None:
        """The batch never reached the server: nothing was paid, its requests are todo again."""
        with self._change() as db:
            db.execute("delete from item where batch = ? and expected is not null", (batch,))
            db.execute("update item set state = 'todo', batch = null, reserved = 0 where batch = ?", (batch,))
            db.execute("delete from batch where name = ?", (batch,))

    def release(self, keys: Iterable[str]) -> None:
        """Calls of a chunk that this process does not make: its canaries go, other requests are todo outside of it."""
        with self._change() as db:
            rows = [(key,) for key in keys]
            db.executemany("delete from item where key = ? and expected is not null", rows)
            db.executemany("update item set batch = null where key = ? and state = 'todo'", rows)

    def begin(self, key: str, reserved: float) -> None:
        """A direct call is about to be made."""
        with self._change() as db:
            db.execute("update item set state = 'intent', reserved = ? where key = ?", (reserved, key))

    def undo(self, key: str) -> None:
        """A direct call that cost nothing: it waits in its chunk again."""
        with self._change() as db:
            db.execute("update item set state = 'todo', reserved = 0 where key = ?", (key,))

    def lose_calls(self) -> int:
        """Direct calls whose process died before their reply came: possibly paid, so their bound counts as spent."""
        with self._change() as db:
            lost = db.execute(
                "update item set state = 'todo', spent = spent + reserved, reserved = 0, detail = 'reply lost' "
                "where state = 'intent' and batch in (select name from batch where mode = 'direct')"
            )
            return lost.rowcount

    def record(self, outcomes: Iterable[Outcome]) -> None:
        """Direct calls that were answered: true cost in place of the reservation."""
        with self._change() as db:
            _record(db, outcomes, self._most)

    def close_batch(
        self,
        batch: str,
        outcomes: Iterable[Outcome],
        state: Literal["accepted", "suspect"],
        note: str,
    ) -> None:
        """All that came back of a batch, in one transaction. What did not come back was possibly paid."""
        with self._change() as db:
            _record(db, outcomes, self._most)
            left = db.execute("select key, reserved from item where batch = ? and state = 'sent'", (batch,)).fetchall()
            missing = [Outcome(key=key, state="todo", detail="no result", spent=most) for key, most in left]
            _record(db, missing, self._most)
            db.execute("update batch set state = ?, note = ? where name = ?", (state, note, batch))

    def abandon(self, batch: str) -> int:
        """Gives up a batch's answers, by either name; what is still reserved counts as spent. Returns the requests.

        Giving up again changes nothing. Raises KeyError for a batch that is not in the ledger.
        """
        found = self._all("select name, state from batch where ? in (name, id)", batch)
        if not found:
            raise KeyError(batch)
        name, state = found[0]
        if state == "abandoned":
            return 0
        with self._change() as db:
            db.execute("update batch set state = 'abandoned' where name = ?", (name,))
            db.execute("update item set spent = spent + reserved, reserved = 0 where batch = ?", (name,))
            given = db.execute(
                "update item set state = 'todo', batch = null, value = null, detail = 'abandoned' "
                "where batch = ? and expected is null",
                (name,),
            )
            return given.rowcount

    def reopen(self, faults: Mapping[str, str]) -> None:
        """Stored answers that do not pass today's checks (key to why): asked again while attempts are left."""
        with self._change() as db:
            db.executemany(
                "update item set state = case when attempts >= ? then 'failed' else 'todo' end, batch = null, "
                "value = null, detail = ? where key = ?",
                [(self._most, fault, key) for key, fault in faults.items()],
            )


def _record(db: sqlite3.Connection, outcomes: Iterable[Outcome], most: int) -> None:
    """An attempt's outcome: todo becomes failed when the attempts are used up; a canary is never asked again."""
    db.executemany(
        "update item set state = case when :state != 'todo' then :state "
        "when expected is not null or attempts + 1 >= :most then 'failed' else 'todo' end, "
        "batch = case when :state = 'todo' and expected is null and attempts + 1 < :most then null else batch end, "
        "attempts = attempts + 1, value = :value, detail = :detail, reserved = 0, spent = spent + :spent, "
        "input_tokens = input_tokens + :input_tokens, output_tokens = output_tokens + :output_tokens, "
        "correct = :correct where key = :key and state in ('intent', 'sent')",
        ({**vars(one), "most": most} for one in outcomes),
    )
