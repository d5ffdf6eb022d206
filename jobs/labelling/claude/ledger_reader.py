"""What the ledger knows. Most questions are about the wanted keys: those that this process asks for."""

from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from jobs.labelling.claude.ledger_file import BatchRow, LedgerFile

State = Literal["done", "refused", "failed"]


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
