"""Two prompts about latents that no policy has a part in: what is a latent, and is what was said of it any good?

The second shows an explanation with windows of text, some of them kept back from the explainer, the others of other
latents, and asks on which the latent is active. It takes the place of the paper's embedding score: same purpose, but
nothing is needed that this project does not have already.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from tokensieve.jobs.labelling.claude.fence import Fence, clean
from tokensieve.jobs.labelling.claude.prompts import DATA_IS_DATA
from tokensieve.jobs.labelling.claude.request import Request

DESCRIBE, DETECT = "describe/1", "detect/1"
LONGEST = 300  # characters of a description
_DESCRIBER = (
    "You explain features of a language model. For each feature you see windows of text in which it is active, the "
    "active words between << and >>. Say in one phrase of at most 25 words what these have in common: the subject of "
    "the text where that is what they share, the word or its form where only that is. Do not explain what is seen in "
    f"one window only.\n\n{DATA_IS_DATA}"
)
_DETECTOR = (
    "You test explanations of features of a language model. For each feature you see an explanation and numbered "
    "windows of text. In some of them the feature is active. Go by the explanation alone: name the windows that hold "
    f"what it describes. It may be none and it may be all of them.\n\n{DATA_IS_DATA}"
)


def describe(fence: Fence, latents: Sequence[Sequence[str]]) -> Request:
    """What is each latent? `latents` are their contexts with marks.

    The answer is {"features": [{number, description}]}. Raises FenceError.
    """
    tag, data = fence.enclose({"features": "\n".join(_block(number, "", one) for number, one in enumerate(latents, 1))})
    ask = (
        f"Between the tags features-{tag} stand {len(latents)} features. Answer with the list `features`, one entry "
        "for each, in order: its `number` and its `description`."
    )
    return _request(DESCRIBE, _DESCRIBER, data, ask, {"description": {"type": "string"}}, 64 + 80 * len(latents))


def detect(fence: Fence, latents: Sequence[tuple[str, Sequence[str]]]) -> Request:
    """On which windows is each latent active? `latents` are (explanation, windows without marks).

    The answer is {"features": [{number, active: [numbers of windows]}]}. Raises FenceError.
    """
    blocks = [_block(number, said, shown, numbered=True) for number, (said, shown) in enumerate(latents, 1)]
    tag, data = fence.enclose({"features": "\n".join(blocks)})
    ask = (
        f"Between the tags features-{tag} stand {len(latents)} explanations with their windows. Answer with the list "
        "`features`, one entry for each, in order: its `number`, and as `active` the numbers of the windows that hold "
        "what its explanation describes."
    )
    active: JsonValue = {"type": "array", "items": {"type": "integer"}}
    return _request(DETECT, _DETECTOR, data, ask, {"active": active}, 64 + 64 * len(latents))


def entries(value: JsonValue, name: str, count: int) -> dict[int, dict[str, Any]]:
    """The entries of the list `name` by their `number`. Raises ValueError unless each of 1..count is there once."""
    found = value.get(name) if isinstance(value, dict) else None
    rows: list[Any] = found if isinstance(found, list) else []
    numbers = [row["number"] for row in rows]
    if sorted(numbers) != [*range(1, count + 1)]:
        raise ValueError(f"{name} must have each of the numbers 1 to {count} once, not {str(numbers)[:80]}")
    return {row["number"]: row for row in rows}


def _block(number: int, said: str, shown: Sequence[str], numbered: bool = False) -> str:
    """One feature, one line for each of its windows, so that no window can pass for another feature."""
    head = f"Feature {number}: {_line(said)}" if said else f"Feature {number}:"
    return "\n".join([head, *(f"  {at if numbered else '-'} {_line(text)}" for at, text in enumerate(shown, 1))])


def _line(text: str) -> str:
    return " ".join(clean(text).split())


def _request(prompt: str, system: str, data: str, ask: str, answer: dict[str, JsonValue], max_tokens: int) -> Request:
    properties: dict[str, JsonValue] = {"number": {"type": "integer"}, **answer}
    entry = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    listed: dict[str, JsonValue] = {"features": {"type": "array", "items": entry}}
    return Request(
        prompt=prompt,
        definition_id="",  # of no policy: paid once for all of them
        system=system,
        user=f"{data}\n\n{ask}",
        schema={"type": "object", "properties": listed, "required": ["features"], "additionalProperties": False},
        max_tokens=max_tokens,
    )
