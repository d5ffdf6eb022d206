"""The body of a Messages request. There is no temperature any more: a stored answer is what makes runs repeat."""

from typing import Any

from pydantic import JsonValue

from jobs.labelling.claude.config import ClaudeConfig
from jobs.labelling.claude.request import Request

# Structured output refuses these; the answer is held to them here (answers.py).
_CHECKED_HERE = {"minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength"}


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
