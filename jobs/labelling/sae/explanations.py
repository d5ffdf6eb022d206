"""Is the explanation of a latent any good? Its held-out contexts must be told from those of other latents by it alone.

The paper drops explanations below an embedding score of 0.9. Here Claude sees the explanation and a mix of windows, and
the balanced accuracy of what it names is the score: 0.5 for an explanation that says nothing, 1 for one that fits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tokensieve.jobs.labelling.claude.asker import Asker
from tokensieve.jobs.labelling.claude.request import Request
from tokensieve.jobs.labelling.sae.groups import Entry, Group, ask_groups, grouped, requests
from tokensieve.jobs.labelling.sae.latent_contexts import CHARACTERS, HELD_OUT, Context, foils, held_out, shuffled
from tokensieve.jobs.labelling.sae.latent_prompts import detect

Windows = list[tuple[Context, bool]]  # each with whether the latent is active on it


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is known of a latent.

    Attributes:
        description: None where there is none.
        score: balanced accuracy of telling its contexts from others, recall: the share of its own that were found; None
            where it was not tested.
        note: why something is None.
    """

    description: str | None
    score: float | None = None
    recall: float | None = None
    note: str | None = None


def detection_windows(asker: Asker, latents: Mapping[int, Sequence[Context]], latent: int) -> Windows:
    """The test of a latent: held-out contexts and as many of others, mixed. Empty where there are fewer than 2 each."""
    settings = asker.claude.latents
    own = held_out(latents[latent], HELD_OUT)[0]
    if settings.export:  # nobody who explained it saw ours
        own = latents[latent][:HELD_OUT]
    others = foils(latents, latent, len(own))
    count = min(len(own), len(others))
    return shuffled(latent, own[:count], others[:count]) if count >= 2 else []


def detection_requests(asker: Asker, said: Mapping[int, str], windows: Mapping[int, Windows]) -> list[Request]:
    """What testing these descriptions asks."""
    return requests(_groups(asker, said, windows))


def _groups(asker: Asker, said: Mapping[int, str], windows: Mapping[int, Windows]) -> list[Group]:
    settings = asker.claude.latents

    def render(part: Sequence[int]) -> Request:
        shown = [[one.plain(CHARACTERS) for one, _ in windows[latent]] for latent in part]
        return detect(asker.fence, [(said[latent], some) for latent, some in zip(part, shown)])

    return grouped([latent for latent in said if windows[latent]], settings.per_request, render)


def score_by_windows(
    asker: Asker, found: Mapping[int, Description], windows: Mapping[int, Windows]
) -> dict[int, Description]:
    """The same with scores, or a note why there is none."""
    said = {latent: one.description for latent, one in found.items() if one.description is not None}
    groups = _groups(asker, said, windows)

    def outside(latent: int, entry: Entry) -> str | None:
        wrong = [number for number in entry["active"] if not 1 <= number <= len(windows[latent])]
        return f"window {wrong[0]} of {len(windows[latent])} in feature {entry['number']}" if wrong else None

    entries, missing = ask_groups(asker, groups, "features", outside)
    tested = dict(found)
    for latent in said:
        if latent in entries:
            score, recall = _score(set(entries[latent]["active"]), windows[latent])
            tested[latent] = replace(found[latent], score=score, recall=recall)
        else:
            note = missing.get(latent, "too few contexts, of its own or of others")
            tested[latent] = replace(found[latent], note=f"not tested: {note}")
    return tested


def _score(named: set[int], windows: Windows) -> tuple[float, float]:
    """(balanced accuracy, recall) of naming windows by their numbers."""
    active = [number for number, (_, is_active) in enumerate(windows, 1) if is_active]
    others = len(windows) - len(active)
    recall = sum(number in named for number in active) / len(active)
    spared = sum(number not in named and not is_active for number, (_, is_active) in enumerate(windows, 1)) / others
    return (recall + spared) / 2, recall
