"""Asks the server what it has: batches, their results, and whether a batch whose reply was lost has arrived.

Reading is free, so it is repeated as often as it helps. A batch is recognised by its custom_ids, which only its results
show, so one that is still in progress is waited for before anything is sent again.
"""

import json
import time
from typing import TYPE_CHECKING

from tokensieve.jobs.labelling.claude.client import ApiError, BatchError, explained
from tokensieve.jobs.labelling.claude.ledger_file import BatchRow
from tokensieve.jobs.labelling.claude.task import Task

if TYPE_CHECKING:
    from anthropic import Anthropic
    from anthropic.types.messages import MessageBatch
    from anthropic.types.messages import MessageBatchIndividualResponse as Result

DOWNLOADS = 4
CLOCK_SKEW_SECONDS = 3600
"""By how much the server's clock may be behind ours."""


def retrieve(client: "Anthropic", row: BatchRow, server_id: str) -> "MessageBatch":
    """A batch as the server sees it. Raises BatchError when it is gone, ApiError."""
    from anthropic import APIError, NotFoundError

    try:
        view = client.messages.batches.retrieve(server_id)
    except NotFoundError as error:
        raise BatchError(
            f"batch {server_id} is not known to the API: use the key of the workspace that sent it, or give it up with "
            f"claude.abandon=[{server_id}]: its requests are asked and paid for again"
        ) from error
    except APIError as error:
        raise explained(error) from error
    if view.processing_status == "ended" and view.results_url is None:
        raise BatchError(
            f"batch {server_id} of {time.strftime('%Y-%m-%d', time.gmtime(row.created))} is archived, its results are "
            f"gone; give it up with claude.abandon=[{server_id}]: its requests are asked and paid for again"
        )
    return view


def size(view: "MessageBatch") -> int:
    """How many requests a batch has."""
    counts = view.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def download(task: Task, client: "Anthropic", server_id: str, total: int) -> list["Result"]:
    """All results of a batch that has ended: `total` of them, fewer only if several downloads agree.

    Raises ApiError when no download was whole; the batch stays open in the ledger.
    """
    import httpx2
    from anthropic import APIConnectionError, APIError

    whole: list[Result] | None = None
    failure: Exception | None = None
    for tried in range(DOWNLOADS):
        time.sleep(min(task.config.poll_seconds, 2.0**tried) if tried else 0)
        try:
            results = list(client.messages.batches.results(server_id))
        except (httpx2.HTTPError, json.JSONDecodeError, APIConnectionError) as error:  # cut in the middle
            failure = error
            continue
        except APIError as error:
            raise explained(error) from error
        whole = results if whole is None or len(results) > len(whole) else whole
        if len({one.custom_id for one in whole}) >= total:
            return whole
    if whole is None:
        raise ApiError(
            f"the results of batch {server_id} broke off in {DOWNLOADS} downloads ({failure}); they stay on the server "
            "for 29 days: run the same command again"
        ) from failure
    return whole


def recover(task: Task, client: "Anthropic", name: str) -> bool:
    """Whether the server has the batch whose reply was lost; if so it is adopted, else its intent is taken back.

    Raises BatchError when a batch that could be it does not end in time, ApiError.
    """
    row = next(one for one in task.ledger.unfinished() if one.name == name)
    members = set(task.ledger.members(name))
    task.progress(f"claude: the reply to batch {name} was lost; looking for it on the server")
    while True:
        candidates = _candidates(task, client, row, len(members))
        for one in candidates:
            if one.processing_status == "ended" and _is_ours(task, client, one.id, len(members), members):
                task.ledger.arrived(name, one.id)
                task.progress(f"claude: batch {name} has arrived as {one.id}; nothing is sent twice")
                return True
        running = [one.id for one in candidates if one.processing_status != "ended"]
        waited = time.time() - row.created
        if not running and waited >= task.config.settle_seconds:
            task.ledger.take_back(name)
            task.progress(f"claude: batch {name} never arrived")
            return False
        if waited > task.config.patience_hours * 3600:
            raise BatchError(
                f"the reply to batch {name} was lost, and batch {running[0]}, which may be it, does not end; run the "
                f"same command later, or give up with claude.abandon=[{name}]: its requests are asked again"
            )
        time.sleep(min(task.config.poll_seconds, max(task.config.settle_seconds - waited, 0.05)))


def _candidates(task: Task, client: "Anthropic", row: BatchRow, total: int) -> list["MessageBatch"]:
    """Batches that nobody has claimed, of the right size, created since the intent was written."""
    from anthropic import APIError

    known, found = task.ledger.ids(), []
    try:
        for one in client.messages.batches.list(limit=100):
            if one.created_at.timestamp() < row.created - CLOCK_SKEW_SECONDS:
                break
            if one.id not in known and size(one) == total:
                found.append(one)
    except APIError as error:
        raise explained(error) from error
    return found


def _is_ours(task: Task, client: "Anthropic", server_id: str, total: int, members: set[str]) -> bool:
    ids = {one.custom_id for one in download(task, client, server_id, total)}
    return bool(ids) and ids <= members
