"""Sends requests in Message Batches, waits for them and settles what came back.

A batch is paid when it is created, so exactly that call is never repeated blindly: the intent is in the ledger first,
and after a lost reply the server is asked what it has (lost_batches.py). One polling loop serves all open batches. A
request that does not fit the budget ends the run with what is left, what is needed and how to go on.
"""

import json
import math
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.labelling.claude import canaries
from tokensieve.jobs.labelling.claude.client import (
    TRIES,
    ApiError,
    BatchError,
    BudgetError,
    CanaryError,
    explained,
    never_sent,
    passing,
    wait_seconds,
)
from tokensieve.jobs.labelling.claude.cost import most
from tokensieve.jobs.labelling.claude.ledger_file import BatchRow, Entry, Outcome, batch_name
from tokensieve.jobs.labelling.claude.lost_batches import download, recover, retrieve, size
from tokensieve.jobs.labelling.claude.request import body
from tokensieve.jobs.labelling.claude.task import Task

if TYPE_CHECKING:
    from anthropic import Anthropic, APIError
    from anthropic.types.messages import MessageBatchIndividualResponse as Result

Sent = tuple[Entry, dict[str, Any]]
MOST_REQUESTS = 100_000
"""The API's limit, canaries included."""
REPORT_SECONDS = 300.0


def ask_in_batches(task: Task, client: "Anthropic") -> None:
    """Sends what is todo, collects what is open, until neither is left."""
    while True:
        opened = len(task.ledger.unfinished())
        while opened < task.config.open_batches and _submit(task, client, anything_open=opened > 0):
            opened += 1
        if not opened:
            return
        collect_one(task, client)


def collect_one(task: Task, client: "Anthropic") -> None:
    """Waits until at least one of the open batches has ended, and settles those that have.

    Raises:
        BatchError: one takes longer than the patience, was cancelled, or is gone.
        CanaryError: one failed its canaries. ApiError: the API refused all of it, or cannot be reached.
    """
    reported = time.monotonic()
    while True:
        rows = [row for row in task.ledger.unfinished() if row.mode == "batch"]
        ended = [row for row in rows if row.id and _collect(task, client, row, row.id)]
        if ended or not rows:
            return
        if time.monotonic() - reported > REPORT_SECONDS:
            task.report()
            reported = time.monotonic()
        time.sleep(task.config.poll_seconds)


def canary_error(batch: str, failed: str) -> CanaryError:
    """The error for a batch, by either name, that its canaries do not vouch for."""
    return CanaryError(
        f"batch {batch}: {failed}. The labeller does not judge as the canaries say, so the answers of "
        "this batch are kept in the ledger as suspect and are used for nothing. Look at the canaries, the prompt and "
        f"claude.model: a change of any of them is asked anew. Or set claude.abandon=[{batch}] to ask "
        "the same questions again; both are paid again"
    )


def over_budget(task: Task, needed: float, *, batch: bool) -> BudgetError:
    """The error for a request that may cost `needed` dollars, with the canaries before it, when fewer are left."""
    spent, reserved = task.ledger.money()
    waiting = [task.requests[key] for key in task.ledger.waiting()]
    count = canaries.number(len(waiting), len(task.canaries), task.config)
    asked = [*waiting, *(task.canaries[at % len(task.canaries)].request for at in range(count))]
    bound = max(sum(most(one, task.config, task.price, batch=batch) for one in asked), needed)
    enough = math.ceil(100 * (spent + reserved + bound)) / 100
    return BudgetError(
        f"claude.budget_usd is ${task.config.budget_usd:.4f}: ${spent:.4f} is spent and ${reserved:.4f} reserved, and "
        f"the next request may cost ${needed:.4f}, so it was not sent. {len(waiting):,} requests wait, which cost at "
        f"most ${bound:.4f}: set claude.budget_usd={enough:.2f} and run the same command again; what was answered is "
        "kept and not paid again"
    )


def _submit(task: Task, client: "Anthropic", *, anything_open: bool) -> bool:
    """Sends one batch; False when nothing waits, or when open batches must first free what they have reserved."""
    name = batch_name()
    sent, too_dear = _fill(task, name)
    if too_dear and anything_open:
        return False
    if too_dear and not sent:
        raise over_budget(task, too_dear, batch=True)
    if not sent:
        return False
    requests = [{"custom_id": entry.key, "params": params} for entry, params in sent]
    failure = None
    for tried in range(TRIES):
        task.ledger.intend(name, "batch", [entry for entry, _ in sent])
        failure = _create(task, client, name, requests)
        if failure is None:
            task.progress(f"claude: batch {name} of {len(sent):,} requests was sent")
            task.report()
            return True
        time.sleep(wait_seconds(failure, tried))
    assert failure is not None
    raise explained(failure)


def _fill(task: Task, name: str) -> tuple[list[Sent], float]:
    """As many waiting requests, with canaries, as fit the limits of a batch and the budget, in mixed order.

    Returns them, and what all up to the first that the budget has no room for would cost; 0 when there is room.
    """
    config, left = task.config, task.left()
    sent: list[Sent] = []
    reserved, bytes_, held = 0.0, 0, 0
    for entry, request in canaries.mixed(task, name, task.ledger.todo(config.batch_requests)):
        params, bound = body(request, config), most(request, config, task.price, batch=True)
        reserved, bytes_ = reserved + bound, bytes_ + len(json.dumps(params)) + len(entry.key) + 64
        if reserved > left:  # what holds more canaries than requests is not worth its price
            return _mixed_up(sent, name) if 2 * held > len(sent) else [], reserved
        if len(sent) == MOST_REQUESTS or (bytes_ > config.batch_bytes and held):
            break
        held += entry.expected is None
        sent.append((replace(entry, reserved=bound), params))
    return _mixed_up(sent, name), 0.0


def _create(task: Task, client: "Anthropic", name: str, requests: list[Any]) -> "APIError | None":
    """One attempt to create a batch whose intent is written; None when the server has it.

    Raises ApiError for a refusal that will not pass. After any error that is returned the intent is taken back.
    """
    from anthropic import APIError, APIStatusError

    try:
        made = client.with_options(max_retries=0).messages.batches.create(requests=requests)
    except APIError as error:
        if never_sent(error) or getattr(error, "status_code", None) == 429:
            task.ledger.take_back(name)
        elif isinstance(error, APIStatusError) and not passing(error):
            task.ledger.take_back(name)
            raise explained(error) from error
        elif recover(task, client, name):
            return None
        return error
    task.ledger.arrived(name, made.id)
    return None


def _collect(task: Task, client: "Anthropic", row: BatchRow, server_id: str) -> bool:
    """Settles a batch if it has ended."""
    view = retrieve(client, row, server_id)
    if view.processing_status != "ended":
        _check_patience(task, row)
        return False
    expected = task.ledger.members(row.name)
    results = download(task, client, server_id, size(view))
    outcomes = [_outcome(task, one, expected[one.custom_id]) for one in results if one.custom_id in expected]
    correct = [one.correct for one in outcomes if one.correct is not None]
    answers = sum(one.state == "done" and expected[one.key] is None for one in outcomes)
    failed = canaries.failure(task, row.name, correct, expected, answers)
    task.ledger.close_batch(row.name, outcomes, "suspect" if failed else "accepted", failed)
    task.report()
    _raise_for(row, failed, [one.result.type for one in results], outcomes)
    return True


def _outcome(task: Task, result: "Result", expected: str | None) -> Outcome:
    """One line of the results. What did not succeed is not billed."""
    if result.result.type == "succeeded":
        return task.outcome(result.custom_id, expected, result.result.message, batch=True)
    detail = result.result.type
    if result.result.type == "errored":
        detail = f"errored: {result.result.error.error.message}"
    return Outcome(key=result.custom_id, state="todo", detail=detail[:500])


def _raise_for(row: BatchRow, failed: str, kinds: list[str], outcomes: list[Outcome]) -> None:
    """Stops the run after a batch that says something is wrong. It is settled by then; nothing of it is lost."""
    if failed:
        raise canary_error(row.id or row.name, failed)
    if "canceled" in kinds:
        raise BatchError(
            f"batch {row.id} was cancelled on the server: {kinds.count('succeeded'):,} answers are kept, "
            f"{kinds.count('canceled'):,} requests were not asked; run the same command again to ask them"
        )
    if kinds and all(kind == "errored" for kind in kinds):
        raise ApiError(f"batch {row.id}: the API refused each of its {len(kinds):,} requests: {outcomes[0].detail}")


def _check_patience(task: Task, row: BatchRow) -> None:
    hours = (time.time() - row.created) / 3600
    if hours > task.config.patience_hours:
        raise BatchError(
            f"batch {row.id} was sent {hours:.1f} hours ago and has not ended (claude.patience_hours="
            f"{task.config.patience_hours:g}). Run the same command later: its answers will be taken, nothing is sent "
            f"twice. Or give it up with claude.abandon=[{row.id}]: its requests are asked and paid for again"
        )


def _mixed_up(sent: list[Sent], name: str) -> list[Sent]:
    return random.Random(name).sample(sent, len(sent))
