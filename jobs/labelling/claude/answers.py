"""Decides whether a reply is an answer: it ended by itself, is JSON, fits the schema, and the caller finds it sensible.

Anything else is asked again or becomes "refused" or "failed"; nothing is repaired and nothing is guessed.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue

from tokensieve.jobs.labelling.claude.request import Request

if TYPE_CHECKING:
    from anthropic.types import Message

Check = Callable[[Request, JsonValue], str | None]
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_KNOWN = {"type", "enum", "properties", "required", "additionalProperties", "items", "title", "description"}
_BOUNDS = {"minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength"}


def read(message: "Message") -> tuple[Literal["done", "refused", "todo"], str | None, str]:
    """The first two steps: (state, the answer as JSON text when done, why not else)."""
    if message.stop_reason == "refusal":
        return "refused", None, "the model declined to answer"
    if message.stop_reason == "max_tokens":
        return "todo", None, "cut off at max_tokens; give it claude.thinking_tokens, or less claude.thinking"
    if message.stop_reason != "end_turn":
        return "todo", None, f"stopped by {message.stop_reason}"
    text = "".join(block.text for block in message.content if block.type == "text")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        return "todo", None, f"not JSON: {error}"
    return "done", json.dumps(value, separators=(",", ":"), ensure_ascii=False), ""


def wrong(request: Request, value: JsonValue, check: Check) -> str:
    """The last two steps: why a parsed answer does not answer the request, "" when it does."""
    return unfit(value, request.schema) or check(request, value) or ""


def unfit(value: JsonValue, schema: Any, where: str = "answer") -> str:
    """Why a value does not fit a schema, "" when it does. The schema must have passed `check_schema`."""
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(_is(value, name) for name in names):
        return f"{where} is {json.dumps(value)[:60]}, not {' or '.join(names)}"
    if "enum" in schema and not any(value == one and type(value) is type(one) for one in schema["enum"]):
        return f"{where} is {json.dumps(value)[:60]}, not one of {json.dumps(schema['enum'])[:120]}"
    return _out_of_bounds(value, schema, where) or _unfit_inside(value, schema, where)


def check_schema(schema: JsonValue, where: str = "schema") -> None:
    """Raises ValueError for a schema with a keyword that `unfit` would not enforce, or that the API would refuse."""
    if not isinstance(schema, dict):
        raise ValueError(f"{where} must be an object, not {schema!r}")
    if unknown := sorted(set(schema) - _KNOWN - _BOUNDS):
        raise ValueError(f"{where}: keyword {unknown[0]} is not enforced here; known: {', '.join(sorted(_KNOWN))}")
    names = schema.get("type")
    if not set(names if isinstance(names, list) else [str(names)]) <= set(_TYPES):
        raise ValueError(f"{where}: type {names!r} is not one of {', '.join(_TYPES)}")
    if names == "object" and schema.get("additionalProperties") is not False:
        raise ValueError(f"{where}: an object needs additionalProperties: false")
    if names == "array" and "items" not in schema:
        raise ValueError(f"{where}: an array needs items")
    properties = schema.get("properties", {})
    inside = properties.items() if isinstance(properties, dict) else []
    for name, inner in [*inside, *([("items", schema["items"])] if "items" in schema else [])]:
        check_schema(inner, f"{where}.{name}")


def _is(value: JsonValue, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _out_of_bounds(value: Any, schema: Any, where: str) -> str:
    for measured, low, high in (
        (value if _is(value, "number") else None, "minimum", "maximum"),
        (len(value) if isinstance(value, list) else None, "minItems", "maxItems"),
        (len(value) if isinstance(value, str) else None, "minLength", "maxLength"),
    ):
        if measured is not None and measured < schema.get(low, measured):
            return f"{where}: {measured} is below {low} {schema[low]}"
        if measured is not None and measured > schema.get(high, measured):
            return f"{where}: {measured} is above {high} {schema[high]}"
    return ""


def _unfit_inside(value: JsonValue, schema: Any, where: str) -> str:
    if isinstance(value, list):
        return next(filter(None, (unfit(one, schema["items"], f"{where}[{at}]") for at, one in enumerate(value))), "")
    if not isinstance(value, dict):
        return ""
    properties = schema.get("properties", {})
    if missing := [name for name in schema.get("required", []) if name not in value]:
        return f"{where} lacks {missing[0]}"
    if extra := sorted(set(value) - set(properties)):
        return f"{where} has {extra[0]}, which was not asked for"
    return next(filter(None, (unfit(one, properties[name], f"{where}.{name}") for name, one in value.items())), "")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")
