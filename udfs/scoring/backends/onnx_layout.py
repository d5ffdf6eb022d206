"""How a pack of windows becomes inputs of a graph, and the graph's output the pack's values: numpy only.

A layout is stored beside the graph that wants it. Rows of different length are padded, by at most 3 % of the tokens of
a call; the price of that bound is more and smaller calls where the lengths of a pack differ much.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from udfs.scoring.packing import runs

PADDING = 0.03  # of a call's own rows
CALL_TOKENS = 4096  # of one call, or one window: attention's table grows with rows and their length


@dataclass(frozen=True, kw_only=True)
class Call:
    """Inputs of one run of a graph. `own_N`: which rows of its output, axes joined, are the windows' tokens."""

    ids: np.ndarray  # int64
    places: np.ndarray  # int64
    own_N: np.ndarray

    @property
    def computed(self) -> int:
        """Rows of tokens that the graph computes."""
        return self.ids.size


class _Layout(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowLayout(_Layout):
    """All windows end to end in one row, filled to a multiple; `places`: the start of each token's window."""

    kind: Literal["row"] = "row"
    multiple: int = Field(ge=1)

    def calls(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> Iterator[Call]:
        """The one call of a pack as in `Backend.submit`, none for an empty one."""
        total = len(ids_P)
        if not total:
            return
        fill = -total % self.multiple
        # What fills is a window of its own.
        starts_P = np.append(np.repeat(bounds_N1[:-1], np.diff(bounds_N1)), np.full(fill, total))
        yield Call(ids=np.append(ids_P, np.zeros(fill, np.int64)), places=starts_P, own_N=np.arange(total))


class RowsLayout(_Layout):
    """A window a row, between the ids `before` and `after`, filled with `padding`; `places`: the rows' lengths."""

    kind: Literal["rows"] = "rows"
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    padding: int = 0

    def calls(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> Iterator[Call]:
        """The calls of a pack, as in `Backend.submit`: neighbours of like length together."""
        lengths_N = np.diff(bounds_N1)
        for first, stop in groups(lengths_N + len(self.before) + len(self.after)):
            yield self._call(ids_P[bounds_N1[first] : bounds_N1[stop]], lengths_N[first:stop])

    def _call(self, ids_N: np.ndarray, lengths_B: np.ndarray) -> Call:
        first, longest = len(self.before), int(lengths_B.max()) + len(self.before) + len(self.after)
        ids_BL = np.full((len(lengths_B), longest), self.padding, dtype=np.int64)
        row_B = np.arange(len(lengths_B))
        own_N = runs(row_B * longest + first, lengths_B)
        ids_BL.reshape(-1)[own_N] = ids_N
        ids_BL[:, :first] = self.before
        for at, token in enumerate(self.after):
            ids_BL[row_B, first + lengths_B + at] = token
        return Call(ids=ids_BL, places=lengths_B + first + len(self.after), own_N=own_N)


Layout = Annotated[RowLayout | RowsLayout, Field(discriminator="kind")]


def groups(lengths_N: np.ndarray) -> Iterator[tuple[int, int]]:
    """Neighbours (first, stop) to pad to their longest: within `PADDING`, and `CALL_TOKENS` unless it is one."""
    lengths, first = lengths_N.tolist(), 0
    while first < len(lengths):
        longest = own = lengths[first]
        stop = first + 1
        while stop < len(lengths):
            most, with_next = max(longest, lengths[stop]), own + lengths[stop]
            padded = most * (stop + 1 - first)
            if padded > CALL_TOKENS or padded > (1 + PADDING) * with_next:
                break
            longest, own, stop = most, with_next, stop + 1
        yield first, stop
        first = stop
