"""Asks Claude, at most once per question: `ask` answers every request, `estimate` says what that would cost.

What is known is taken from the ledger, what is under way is collected, only the rest is sent. A run may be killed at
any moment and started again.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import JsonValue

from tokensieve.jobs.config.claude import ClaudeConfig
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.labelling.claude.answers import Check, check_schema, wrong
from tokensieve.jobs.labelling.claude.batches import ask_in_batches, canary_error, collect_one
from tokensieve.jobs.labelling.claude.client import LedgerError, open_client
from tokensieve.jobs.labelling.claude.cost import price_of
from tokensieve.jobs.labelling.claude.direct import ask_directly
from tokensieve.jobs.labelling.claude.estimate import in_batches
from tokensieve.jobs.labelling.claude.ledger import Ledger
from tokensieve.jobs.labelling.claude.lost_batches import recover
from tokensieve.jobs.labelling.claude.request import Answer, Canary, Request, labeller
from tokensieve.jobs.labelling.claude.task import Progress, Task


def to_stderr(line: str) -> None:
    """Where progress goes unless the caller says otherwise."""
    print(line, file=sys.stderr, flush=True)


def ask(
    requests: Sequence[Request],
    config: ClaudeConfig,
    ledger: Path,
    *,
    check: Check,
    canaries: Sequence[Canary] = (),
    progress: Progress = to_stderr,
) -> list[Answer]:
    """One answer per request, in their order; equal requests are asked once.

    Args:
        ledger: the SQLite file; one process at a time, on a local disk.
        check: why an answer that fits the schema is still wrong (an index out of range), else None. It is asked again.
        canaries: mixed into every batch; without them nothing is noticed when the labeller drifts.

    Raises:
        ConfigError: no price for the model, a deprecated model, a dry run. InputError: no key, no `anthropic`.
        BudgetError: before the budget would be crossed. CanaryError: a batch's canaries were answered wrongly.
        BatchError, ApiError, LedgerError: see client.py. ValueError: a schema that would not be enforced.
    """
    if config.dry_run:
        raise ConfigError("claude.dry_run is set, so nothing may be sent: use estimate, or set claude.dry_run=false")
    keys = [request.key(labeller(config)) for request in requests]
    by_key = dict(zip(keys, requests, strict=True))
    _check_schemas([*requests, *(one.request for one in canaries)])
    price = price_of(config.model, config.prices)
    with Ledger(ledger, labeller(config), config.max_attempts) as book:
        task = Task(
            config=config,
            price=price,
            ledger=book,
            requests=by_key,
            canaries=canaries,
            check=check,
            progress=progress,
        )
        _prepare(task)
        _ask_the_rest(task)
        answers = _answers(task)
    return [answers[key] for key in keys]


def _prepare(task: Task) -> None:
    """Brings the ledger in line with what is asked for and with what an earlier process left behind.

    Raises CanaryError when answers that are asked for came in a batch that its canaries do not vouch for.
    """
    book = task.ledger
    if lost := book.lose_calls():
        task.progress(f"claude: {lost} direct calls of an earlier run were never answered; they count as spent")
    book.want(task.requests)
    book.add({key: request.prompt for key, request in task.requests.items()})
    for batch in task.config.abandon:
        _abandon(task, batch)
    for row in book.suspects():
        raise canary_error(row.id or row.name, row.note)
    faults = {key: _fault(task, key, value) for key, state, value, _ in book.answers() if state == "done"}
    book.reopen({key: fault for key, fault in faults.items() if fault})


def _abandon(task: Task, batch: str) -> None:
    try:
        given = task.ledger.abandon(batch)
    except KeyError as error:
        raise ConfigError(
            f"claude.abandon: {task.ledger.path} knows no batch {batch}; remove it from the list"
        ) from error
    if given:
        task.progress(f"claude: batch {batch} is given up; {given:,} requests will be asked again")


def _fault(task: Task, key: str, value: str | None) -> str:
    """Why a stored answer is none: checks may be stricter than when it was stored."""
    return wrong(task.requests[key], json.loads(value or "null"), task.check)


def _ask_the_rest(task: Task) -> None:
    """Collects what is under way and sends what waits; opens no connection when there is neither."""
    rows = task.ledger.unfinished()
    waiting = len(task.ledger.todo(task.config.direct_below + 1))
    if not rows and not waiting:
        task.report()
        return
    with open_client(task.config) as client:
        for row in rows:
            if row.state == "intent":
                recover(task, client, row.name)
        if in_batches(task.config, waiting):
            if any(row.mode == "direct" for row in rows):
                ask_directly(task, only_unfinished=True)
            ask_in_batches(task, client)
            return
        while any(row.mode == "batch" for row in task.ledger.unfinished()):
            collect_one(task, client)
        ask_directly(task)


def _answers(task: Task) -> dict[str, Answer]:
    answers = {
        key: Answer(state=state, value=json.loads(value) if state == "done" and value else None, detail=detail)
        for key, state, value, detail in task.ledger.answers()
    }
    if missing := set(task.requests) - set(answers):
        raise LedgerError(f"{task.ledger.path}: {len(missing):,} requests have no answer, {min(missing)} is one")
    return answers


def _check_schemas(requests: Iterable[Request]) -> None:
    """Each different schema once: most requests share theirs."""
    seen: list[dict[str, JsonValue]] = []
    for request in requests:
        if request.schema not in seen:
            check_schema(request.schema)
            seen.append(request.schema)
