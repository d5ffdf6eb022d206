"""Several latents in one request, one entry for each in the answer: none may be missing, and none is guessed.

What became of every latent comes back: its entry, or why there is none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from tokensieve.jobs.labelling.claude.asker import Asker
from tokensieve.jobs.labelling.claude.fence import FenceError
from tokensieve.jobs.labelling.claude.request import Canary, Request
from tokensieve.jobs.labelling.sae.latent_prompts import entries

Entry = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Latents that share a request; `request` is None where they cannot be asked about, `why` says why."""

    latents: tuple[int, ...]
    request: Request | None
    why: str = ""


def grouped(latents: Sequence[int], size: int, render: Callable[[Sequence[int]], Request]) -> list[Group]:
    """Groups of up to `size` latents, in order."""
    made = []
    for first in range(0, len(latents), size):
        part = tuple(latents[first : first + size])
        try:
            made.append(Group(latents=part, request=render(part)))
        except FenceError as error:
            made.append(Group(latents=part, request=None, why=f"fenced: {error}"))
    return made


def requests(groups: Sequence[Group]) -> list[Request]:
    """What the groups ask."""
    return [group.request for group in groups if group.request is not None]


def ask_groups(
    asker: Asker,
    groups: Sequence[Group],
    name: str,
    wrong: Callable[[int, Entry], str | None],
    canaries: Sequence[Canary] = (),
) -> tuple[dict[int, Entry], dict[int, str]]:
    """(entry by latent, why there is none by latent); every latent of the groups is in one of the two.

    Args:
        name: the answer's list. wrong: why an entry about a latent is wrong although it fits the schema, else None.
    """
    by_user = {group.request.user: group for group in groups if group.request is not None}

    def check(request: Request, value: JsonValue) -> str | None:
        group = by_user.get(request.user)
        if group is None:  # a canary, which is compared as a whole
            return None
        try:
            found = entries(value, name, len(group.latents))
        except ValueError as error:
            return str(error)
        faults = (wrong(latent, found[at]) for at, latent in enumerate(group.latents, 1))
        return next(filter(None, faults), None)

    answers = iter(asker.ask(requests(groups), check, canaries))
    said: dict[int, Entry] = {}
    missing: dict[int, str] = {}
    for group in groups:
        answer = None if group.request is None else next(answers)
        if answer is not None and answer.state == "done":
            found = entries(answer.value, name, len(group.latents))
            said |= {latent: found[at] for at, latent in enumerate(group.latents, 1)}
        else:
            why = group.why if answer is None else f"{answer.state}: {answer.detail}"
            missing |= dict.fromkeys(group.latents, why)
    return said, missing
