"""Asks by direct calls, a bounded number at a time, in chunks that have their canaries as batches have.

Each call has a row of intent before it is made. The API offers no way to fetch a reply that was lost, so such a call is
taken for paid: its bound counts as spent, and it is asked again while attempts are left. At most `claude.concurrency`
calls are lost with a process. A call that the API turned away (429, 5xx) is not billed; it is repeated after a while.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.errors import VerbError
from tokensieve.jobs.labelling.claude import canaries
from tokensieve.jobs.labelling.claude.batches import canary_error, over_budget
from tokensieve.jobs.labelling.claude.client import (
    TRIES,
    ApiError,
    BudgetError,
    explained,
    never_sent,
    passing,
    settings,
    wait_seconds,
)
from tokensieve.jobs.labelling.claude.cost import most
from tokensieve.jobs.labelling.claude.ledger_file import Outcome, batch_name
from tokensieve.jobs.labelling.claude.request import body
from tokensieve.jobs.labelling.claude.task import Task

if TYPE_CHECKING:
    from anthropic import APIError, AsyncAnthropic
    from anthropic.types import Message

CHUNK = 250
"""Requests that share their canaries."""
LOST_IN_A_ROW = 5
"""After so many lost replies without an answer between them the connection is taken for broken."""


@dataclass
class _Pass:
    """One go through a chunk: why it stopped, calls answered, calls refused (why), replies lost in a row."""

    stopped: VerbError | None = None
    answered: int = 0
    refused: list[str] = field(default_factory=list)
    lost: int = 0


def ask_directly(task: Task, *, only_unfinished: bool = False) -> None:
    """Asks what is todo; first finishes chunks that an earlier process left.

    Raises:
        BudgetError, CanaryError: as `service.ask`. ApiError: the API refuses or cannot be reached.
    """
    asyncio.run(_ask(task, only_unfinished))


async def _ask(task: Task, only_unfinished: bool) -> None:
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic(**settings(task.config), max_retries=0) as client:
        for row in task.ledger.unfinished():
            if row.mode == "direct":
                await _chunk(task, client, row.name)
        while not only_unfinished and (keys := task.ledger.todo(CHUNK)):
            name = batch_name()
            task.ledger.intend(name, "direct", [entry for entry, _ in canaries.mixed(task, name, keys)])
            await _chunk(task, client, name)


async def _chunk(task: Task, client: "AsyncAnthropic", name: str) -> None:
    """Asks all of a chunk that waits, then holds its answers to its canaries."""
    waiting = task.ledger.members(name, "todo")
    task.ledger.release(key for key in waiting if canaries.request_of(task, key) is None)
    while members := task.ledger.members(name, "todo"):
        go, gate = _Pass(), asyncio.Semaphore(task.config.concurrency)
        order = random.Random(name).sample(sorted(members), len(members))
        await asyncio.gather(*(_one(task, client, key, members[key], gate, go) for key in order))
        # Answers have freed what they had reserved, so a call that did not fit may fit now.
        if go.stopped and not (isinstance(go.stopped, BudgetError) and go.answered):
            raise go.stopped
        if go.refused and not go.answered:
            raise ApiError(f"the API refused each of {len(go.refused):,} requests: {go.refused[0]}")
    _close(task, name)


async def _one(
    task: Task, client: "AsyncAnthropic", key: str, expected: str | None, gate: asyncio.Semaphore, go: _Pass
) -> None:
    """Asks one request of a chunk, unless the pass has been stopped."""
    from anthropic import APIConnectionError, APIError

    request = canaries.request_of(task, key)
    assert request is not None  # the others were released
    async with gate:
        if go.stopped:
            return
        bound = most(request, task.config, task.price, batch=False)
        if bound > task.left():
            go.stopped = over_budget(task, bound, batch=False)
            return
        task.ledger.begin(key, bound)
        try:
            message = await _call(client, body(request, task.config))
        except APIConnectionError as error:
            _lost(task, key, bound, error, go)
            return
        except APIError as error:
            _turned_away(task, key, error, go)
            return
        outcome = task.outcome(key, expected, message, batch=False)
        task.ledger.record([outcome])
        go.answered, go.lost = go.answered + 1, 0


async def _call(client: "AsyncAnthropic", params: dict[str, Any]) -> "Message":
    """One answer; what the API could not do just now is asked again after as long as it says."""
    from anthropic import APIStatusError

    for tried in range(TRIES - 1):
        try:
            return await client.messages.create(**params)
        except APIStatusError as error:
            if not passing(error):
                raise
            await asyncio.sleep(wait_seconds(error, tried))
    return await client.messages.create(**params)


def _lost(task: Task, key: str, bound: float, error: "APIError", go: _Pass) -> None:
    """No reply: the call was possibly paid, unless no connection came about."""
    if never_sent(error):
        task.ledger.undo(key)
    else:
        lost = Outcome(key=key, state="todo", detail="reply lost, possibly paid", spent=bound)
        task.ledger.record([lost])
    go.lost += 1
    if never_sent(error) or go.lost >= LOST_IN_A_ROW:
        go.stopped = explained(error)


def _turned_away(task: Task, key: str, error: "APIError", go: _Pass) -> None:
    """The API refused: this request alone (400, 413, 422), or whatever we send."""
    if getattr(error, "status_code", None) in (400, 413, 422):
        detail = f"errored: {error.message}"[:500]
        task.ledger.record([Outcome(key=key, state="todo", detail=detail)])
        go.refused.append(detail)
    else:
        task.ledger.undo(key)
        go.stopped = explained(error)


def _close(task: Task, name: str) -> None:
    expected = task.ledger.members(name)
    answers = sum(one is None for one in task.ledger.members(name, "done").values())
    failed = canaries.failure(task, name, task.ledger.judged(name), expected, answers)
    task.ledger.close_batch(name, [], "suspect" if failed else "accepted", failed)
    task.report()
    if failed:
        raise canary_error(name, failed)
