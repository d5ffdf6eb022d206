"""Canaries: requests of known answer, mixed into every batch, that show whether the labeller still judges as meant.

Each has a custom_id of its batch, so it is really asked every time. Below 50 canaries one wrong answer would already be
less than 98 %, so one is forgiven there; the pool goes back over earlier batches, so it is forgiven once and not in
every small batch. A batch is also lost when most of its own canaries are wrong.
"""

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence

from jobs.labelling.claude.config import ClaudeConfig
from jobs.labelling.claude.ledger import Entry
from jobs.labelling.claude.request import Canary, Request
from jobs.labelling.claude.task import Task

LEAST = 5
"""Canaries that even the smallest batch has, where there are so many different ones."""
POOL = 50


def mixed(task: Task, batch: str, keys: Sequence[str]) -> Iterator[tuple[Entry, Request]]:
    """Requests with canaries among them: a batch may be any beginning of this that holds a request."""
    canaries = _shuffled(task.canaries, batch)
    given = 0
    for at, key in enumerate(keys):
        while given < number(at + 1, len(canaries), task.config):
            one = canaries[given % len(canaries)]
            custom_id = f"canary-{batch}-{given}-{_short(one, task)}"
            yield Entry(key=custom_id, prompt=one.request.prompt, expected=json.dumps(one.expected)), one.request
            given += 1
        yield Entry(key=key, prompt=task.requests[key].prompt), task.requests[key]


def number(requests: int, different: int, config: ClaudeConfig) -> int:
    """Canaries that go with so many requests when there are so many different ones."""
    return max(min(LEAST, different), math.ceil(config.canary_share * requests)) if requests and different else 0


def request_of(task: Task, custom_id: str) -> Request | None:
    """What a custom_id of this task, or of one of its canaries, asks."""
    if not custom_id.startswith("canary-"):
        return task.requests.get(custom_id)
    short = custom_id.rpartition("-")[2]
    return next((one.request for one in task.canaries if _short(one, task) == short), None)


def failure(task: Task, batch: str, correct: Sequence[bool], expected: Mapping[str, str | None], answers: int) -> str:
    """Why a batch's canaries do not vouch for its answers, "" when they do.

    Args:
        correct: its judged canaries; expected: its custom ids; answers: how many of its requests were answered.
    """
    sent = sum(one is not None for one in expected.values())
    if not sent or not answers:
        return ""
    if not correct:
        return f"none of its {sent} canaries came back"
    prompts = {one.request.prompt for one in task.canaries}
    earlier = task.ledger.canaries(prompts, max(POOL - len(correct), 0))
    return verdict(correct, earlier, task.config.canary_floor)


def verdict(correct: Sequence[bool], earlier: Sequence[bool], floor: float) -> str:
    """What is wrong with a batch whose canaries were right or not, after `earlier` ones; "" for nothing."""
    pool = [*correct, *earlier]
    missed, asked = pool.count(False), len(pool)
    forgiven = max(1, int(asked * (1 - floor) + 1e-9))
    own = f"{list(correct).count(True)} of its {len(correct)} canaries were answered right"
    if 2 * list(correct).count(False) > len(correct):
        return own
    if missed > forgiven:
        return f"{own}, {asked - missed} of the latest {asked} ({(asked - missed) / asked:.1%}, floor {floor:.0%})"
    return ""


def _shuffled(canaries: Sequence[Canary], batch: str) -> list[Canary]:
    return random.Random(batch).sample(list(canaries), len(canaries))


def _short(canary: Canary, task: Task) -> str:
    return canary.request.key(task.config.model)[:16]
