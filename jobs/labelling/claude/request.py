"""What is asked of Claude and what comes back. A request is named by its whole content: the same question is paid once.

The name leaves nothing out, so a changed word in a prompt, another policy or another model is a new question and costs
again; nothing that was answered under the old one is ever passed off as an answer to the new. What is sent has no
temperature: a stored answer is what makes runs repeat.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

from tokensieve.jobs.config.claude import ClaudeConfig

# Structured output refuses these; the answer is held to them here (answers.py).
_CHECKED_HERE = {"minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question.

    Attributes:
        prompt: name and version of the prompt that rendered it, e.g. `document/1`; also how its cost is reported.
        definition_id: the policy that it asks about (`PolicyDefinition.definition_id`).
        system, user: the two texts that are sent.
        schema: JSON schema of the answer, in the subset that `answers.unfit` knows; sent as `output_config.format`.
        max_tokens: most tokens that the answer may have; with the texts it bounds the cost before anything is sent.
    """

    prompt: str
    definition_id: str
    system: str
    user: str
    schema: dict[str, JsonValue]
    max_tokens: int

    def key(self, model: str) -> str:
        """48 hex digits of the SHA-256 over all that is asked and who is asked (`labeller`): the custom_id."""
        content = [self.prompt, self.definition_id, model, self.system, self.user, self.schema, self.max_tokens]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:48]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a request. Only `done` carries a value; the other states are never a label.

    Attributes:
        state: `done`, `refused` (the model declined) or `failed` (no valid answer in all attempts).
        value: the parsed answer that fits the request's schema and passed the caller's check, None unless done.
        detail: why there is none, else "".
    """

    state: Literal["done", "refused", "failed"]
    value: JsonValue | None
    detail: str


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A request whose right answer is known; mixed among the others to see that the labeller still judges as meant."""

    request: Request
    expected: JsonValue


def labeller(config: ClaudeConfig) -> str:
    """Who is asked: the model, and what it is told about thinking. Part of a request's key."""
    told = {"thinking": config.thinking, "effort": config.effort}
    return " ".join([config.model, *(f"{name}={value}" for name, value in told.items() if value is not None)])


def body(request: Request, config: ClaudeConfig) -> dict[str, Any]:
    """What is sent for a request."""
    output: dict[str, Any] = {"format": {"type": "json_schema", "schema": _sent(request.schema)}}
    if config.effort is not None:
        output["effort"] = config.effort
    result: dict[str, Any] = {
        "model": config.model,
        "max_tokens": request.max_tokens + config.thinking_tokens,
        "messages": [{"role": "user", "content": request.user}],
        "output_config": output,
    }
    if request.system:
        result["system"] = request.system
    if config.thinking is not None:
        result["thinking"] = {"type": config.thinking}
    return result


def _sent(schema: JsonValue) -> JsonValue:
    """A schema without the keywords that the API refuses."""
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if name not in _CHECKED_HERE}
    properties = kept.get("properties")
    if isinstance(properties, dict):
        kept["properties"] = {name: _sent(value) for name, value in properties.items()}
    if "items" in kept:
        kept["items"] = _sent(kept["items"])
    return kept
