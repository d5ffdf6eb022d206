"""One call of `ask`: what is asked, by which settings, written down where. Also turns replies into outcomes."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokensieve.jobs.config.claude import ClaudeConfig, Price
from tokensieve.jobs.labelling.claude.answers import Check, read, wrong
from tokensieve.jobs.labelling.claude.ledger import Ledger
from tokensieve.jobs.labelling.claude.ledger_file import Outcome
from tokensieve.jobs.labelling.claude.request import Canary, Request

if TYPE_CHECKING:
    from anthropic.types import Message

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """`requests` by key. `ledger` is open and wants these keys."""

    config: ClaudeConfig
    price: Price
    ledger: Ledger
    requests: Mapping[str, Request]
    canaries: Sequence[Canary]
    check: Check
    progress: Progress

    def left(self) -> float:
        """Dollars that are neither spent nor reserved."""
        spent, reserved = self.ledger.money()
        return self.config.budget_usd - spent - reserved

    def outcome(self, key: str, expected: str | None, message: "Message", *, batch: bool) -> Outcome:
        """What a reply is worth: judged in full where its request is known here, else when somebody asks for it."""
        state, value, detail = read(message)
        request = self.requests.get(key)
        if state == "done" and value is not None and request is not None:
            detail = wrong(request, json.loads(value), self.check)
            state, value = ("todo", None) if detail else (state, value)
        usage = message.usage
        dollars = self.price.dollars(
            batch=batch,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_write=usage.cache_creation_input_tokens or 0,
            cache_read=usage.cache_read_input_tokens or 0,
        )
        return Outcome(
            key=key,
            state=state,
            value=value,
            detail=detail[:500],
            spent=dollars,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            correct=None if expected is None else value is not None and _same(value, expected),
        )

    def report(self) -> None:
        """One line on where things stand."""
        states, (spent, reserved) = self.ledger.states(), self.ledger.money()
        not_answers = ", ".join(f"{states.get(name, 0):,} {name}" for name in ("refused", "failed"))
        self.progress(
            f"claude: {states.get('done', 0):,} of {len(self.requests):,} answered, {not_answers}; "
            f"{len(self.ledger.unfinished()):,} batches under way; "
            f"${spent:.4f} spent, ${reserved:.4f} reserved of ${self.config.budget_usd:.2f}"
        )


def _same(value: str, expected: str) -> bool:
    """Equal as JSON: true is not 1, the order of keys does not matter, that of lists does."""
    return json.dumps(json.loads(value), sort_keys=True) == json.dumps(json.loads(expected), sort_keys=True)
