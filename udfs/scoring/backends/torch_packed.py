"""Packs through the torch modules of a bundle on a CPU: no padding, computed at once.

What overlaps with it runs in other threads, which torch lets go on while it computes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokensieve.udfs.bundles.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class Done:
    """A pack that has been computed."""

    computed: int
    values_PH: np.ndarray

    def values(self) -> np.ndarray:
        """The values, float32 [P, 2 * policies]."""
        return self.values_PH


class TorchPacked:
    """The `Backend` of a CPU. `compile`: through torch.compile, which costs a start of half a minute or more."""

    def __init__(self, members: "Sequence[Bundle]", *, dtype: str, compile: bool, token_budget: int) -> None:
        import torch

        from tokensieve.udfs.bundles.heads import ManyHeads

        self.name = f"torch {dtype}" + (" compiled" if compile else "")
        self.token_budget = token_budget
        self.out_of_memory = 0
        self._encoder: Any = members[0].encoder("cpu", getattr(torch, dtype))
        self._heads = ManyHeads([bundle.heads() for bundle in members])
        self._busy = 0.0
        if compile:
            from tokensieve.udfs.scoring.backends.compiled import compile_blocks

            compile_blocks(self._encoder)

    def submit(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> Done:
        """As `Backend.submit`; the values are there when it returns."""
        import torch

        began = time.perf_counter()
        with torch.inference_mode():
            features_PK = self._encoder(torch.from_numpy(ids_P), torch.from_numpy(bounds_N1))
            values_PH = self._heads(features_PK).numpy()
        self._busy += time.perf_counter() - began
        return Done(computed=computed_rows(self._encoder, bounds_N1), values_PH=values_PH)

    def busy_seconds(self) -> float:
        """As `Backend.busy_seconds`."""
        return self._busy


def computed_rows(encoder: Any, bounds_N1: np.ndarray) -> int:
    """Rows of tokens that an encoder computes for a pack: all of its tokens, and its padding where it pads."""
    rows = getattr(encoder, "computed_rows", None)
    return int(bounds_N1[-1]) if rows is None else rows(np.diff(bounds_N1))
