"""A labelling project in small: questions on texts, a fake Claude that finds the word "forget", one ledger."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from tests.fake_claude import FakeClaude
from tokensieve.jobs.config.claude import ClaudeConfig
from tokensieve.jobs.labelling.claude.request import Answer, Canary, Request
from tokensieve.jobs.labelling.claude.service import ask

KEY = "sk-test-not-a-real-key"
MODEL = "claude-haiku-4-5"


def question(text: str, prompt: str = "document/1") -> Request:
    """Is this text to be forgotten?"""
    answer: JsonValue = {"type": "boolean"}
    return Request(
        prompt=prompt,
        definition_id="0123456789abcdef",
        system="You label texts.",
        user=text,
        schema={
            "type": "object",
            "properties": {"forget": answer},
            "required": ["forget"],
            "additionalProperties": False,
        },
        max_tokens=20,
    )


def text_of(params: dict[str, Any]) -> str:
    return params["messages"][0]["content"]


def honest(params: dict[str, Any]) -> str:
    return json.dumps({"forget": "forget" in text_of(params)})


def canaries(count: int) -> list[Canary]:
    return [Canary(request=question(f"canary {at} forget"), expected={"forget": True}) for at in range(count)]


def no_check(request: Request, value: JsonValue) -> str | None:
    return None


@dataclass
class Project:
    """Asks the fake with one ledger; `lines` is what was reported."""

    fake: FakeClaude
    ledger: Path
    lines: list[str] = field(default_factory=list)

    def config(self, **changes: Any) -> ClaudeConfig:
        quick = {"poll_seconds": 0.01, "settle_seconds": 0.0, "mode": "batch"}
        return ClaudeConfig(**{"model": MODEL, "budget_usd": 5.0, "base_url": self.fake.url, **quick, **changes})

    def ask(
        self,
        requests: Sequence[Request],
        canaries: Sequence[Canary] = (),
        check: Callable[[Request, JsonValue], str | None] = no_check,
        **changes: Any,
    ) -> list[Answer]:
        config = self.config(**changes)
        return ask(requests, config, self.ledger, check=check, canaries=canaries, progress=self.lines.append)

    def sent(self) -> list[str]:
        """Texts that the server was asked about, canaries left out, in the order of creation."""
        batched = [one["params"] for batch in self.fake.batches.values() for one in batch.requests]
        direct = [call.body for call in self.fake.calls if call.route == "POST /v1/messages"]
        return [text for text in map(text_of, [*batched, *direct]) if not text.startswith("canary")]
