"""The contexts of each latent as prompts need them: in an order that nobody chose, some kept back from the explainer.

Choices go by the lowest hash of latent, document and text, so they follow from content; the table's rank is not used,
since the strongest contexts alone make a latent look narrower than it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import xxhash

CHARACTERS = 600
"""Of a context as it is shown; a longer one is cut on both sides of what the latent is active on."""
HELD_OUT = 5
"""Contexts kept from the explainer, to test the explanation with, against as many of other latents."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """A window of text; the latent is active on its bytes start:end."""

    doc_id: str
    text: str
    start: int
    end: int

    def plain(self, characters: int) -> str:
        """The window, cut on both sides of the active words to about so many characters."""
        return "".join(self._parts(characters))

    def marked(self, characters: int) -> str:
        """The same with the active words between << and >>."""
        before, active, after = self._parts(characters)
        return f"{before}<<{active}>>{after}"

    def _parts(self, characters: int) -> tuple[str, str, str]:
        raw = self.text.encode()
        before, active, after = (
            raw[part].decode(errors="replace")
            for part in (slice(0, self.start), slice(self.start, self.end), slice(self.end, None))
        )
        room = max(0, (characters - len(active)) // 2)
        return before[max(0, len(before) - room) :], active[:characters], after[:room]


def by_latent(table: pa.Table) -> dict[int, list[Context]]:
    """The contexts of each latent, latents ascending, contexts in the order of their hash."""
    found: dict[int, list[Context]] = {}
    for row in table.select(["latent_id", "doc_id", "text", "start", "end"]).to_pylist():
        latent = row.pop("latent_id")
        found.setdefault(latent, []).append(Context(**row))
    return {
        latent: sorted(found[latent], key=lambda one: (_hash(latent, one.doc_id, one.text), one.start))
        for latent in sorted(found)
    }


def held_out(contexts: Sequence[Context], most: int) -> tuple[Sequence[Context], Sequence[Context]]:
    """(kept back to test an explanation with, shown to the explainer); never more kept back than shown."""
    kept = min(most, len(contexts) // 2)
    return contexts[:kept], contexts[kept:]


def foils(latents: Mapping[int, Sequence[Context]], latent: int, count: int) -> list[Context]:
    """`count` contexts of other latents, from documents in which this one has no context; fewer where there are none.

    The latent may be active on one of them all the same, weakly: that lowers its score and never raises it.
    """
    own = {one.doc_id for one in latents[latent]}
    others = [other for other in latents if other != latent]
    chosen: list[Context] = []
    for at in _draws(latent, 50 * count if others else 0):
        contexts = latents[others[at % len(others)]]
        one = contexts[(at // len(others)) % len(contexts)]
        if one.doc_id not in own and one not in chosen:
            chosen.append(one)
        if len(chosen) == count:
            break
    return chosen


def shuffled(latent: int, active: Sequence[Context], others: Sequence[Context]) -> list[tuple[Context, bool]]:
    """Both kinds, each with whether the latent is active on it, in the order of their hash."""
    mixed = [*((one, True) for one in active), *((one, False) for one in others)]
    return sorted(mixed, key=lambda pair: _hash(latent, "mix", pair[0].doc_id, pair[0].text))


def _draws(latent: int, count: int) -> Iterator[int]:
    return (_hash(latent, "foil", str(at)) for at in range(count))


def _hash(latent: int, *parts: str) -> int:
    return xxhash.xxh3_64_intdigest("\0".join([str(latent), *parts]).encode())
