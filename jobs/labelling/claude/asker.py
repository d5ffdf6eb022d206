"""What every verb that asks Claude needs: policy, settings, ledger and fence of one labelling project.

With `claude.dry_run` the same requests are counted and priced and the first is shown; nothing is sent, no key is read.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from tokensieve.jobs.config.claude import ClaudeConfig
from tokensieve.jobs.config.labelling import LabelConfig, section
from tokensieve.jobs.labelling.claude.answers import Check
from tokensieve.jobs.labelling.claude.estimate import estimate
from tokensieve.jobs.labelling.claude.fence import Fence
from tokensieve.jobs.labelling.claude.request import Answer, Canary, Request
from tokensieve.jobs.labelling.claude.service import ask
from tokensieve.jobs.policies.definition import PolicyDefinition, load_definition


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Asks for one project. `fence` encloses foreign text in its requests."""

    claude: ClaudeConfig
    policy: PolicyDefinition
    ledger: Path
    fence: Fence

    @classmethod
    def of(cls, config: LabelConfig) -> "Asker":
        """Raises ConfigError without a section `claude` or with a wrong policy, InputError as `Fence.beside` does."""
        ledger = config.tables.folder / "claude.sqlite"
        return cls(
            claude=section(config, "claude", ClaudeConfig),
            policy=load_definition(config.policy),
            ledger=ledger,
            fence=Fence.beside(ledger),
        )

    def ask(self, requests: Sequence[Request], check: Check, canaries: Sequence[Canary] = ()) -> list[Answer]:
        """One answer per request, in order; raises what `service.ask` raises."""
        return ask(requests, self.claude, self.ledger, check=check, canaries=canaries)

    def preview(
        self, requests: Sequence[Request], canaries: Sequence[Canary] = (), remarks: Sequence[str] = ()
    ) -> dict[str, Any]:
        """What a dry run returns: counts and dollars, and the lines that say them, with the first request in full."""
        found = estimate(requests, self.claude, self.ledger, canaries)
        counts = {"requests": found.requests, "already_paid": found.answered, "new": found.new}
        tokens = {"input_tokens": found.input_tokens, "output_tokens": found.output_tokens}
        lines = ["dry run: nothing was sent", *found.lines(), *remarks, *_shown(requests)]
        return {"dry_run": True, **counts, **tokens, "dollars": found.dollars, "lines": lines}


def any_answer(request: Request, value: JsonValue) -> None:
    """The check of prompts whose schema says all that can be wrong with an answer."""


def states(answers: Sequence[Answer]) -> dict[str, int]:
    """How many answers are in which state."""
    return dict(sorted(Counter(answer.state for answer in answers).items()))


def _shown(requests: Sequence[Request]) -> list[str]:
    if not requests:
        return ["there is nothing to ask"]
    first = requests[0]
    head = f"the first request, {first.prompt}, in full; at most {first.max_tokens} tokens out"
    return ["", head, "--- system", *first.system.splitlines(), "--- user", *first.user.splitlines(), "---"]
