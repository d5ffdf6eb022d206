"""Keeps a back end going when its device runs out of memory: packs are cut at half the token budget, for good.

The budget only falls. What is given up is finding the largest budget that fits: others may use the device too, and a
pack of half the size costs little speed.
"""

import threading
from dataclasses import dataclass

import numpy as np
import torch

from tokensieve.udfs.scoring.backends.backend import Backend, Pending


class WindowTooLarge(RuntimeError):
    """One window alone does not fit into the device's memory; the message says how long it is and what to do."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A run of a pack's windows that the back end has taken."""

    ids_P: np.ndarray
    bounds_N1: np.ndarray
    pending: Pending


class Halving:
    """The `Backend` around another one. Its `token_budget` is the most tokens that a pack may have from now on."""

    def __init__(self, inner: Backend) -> None:
        self.name = inner.name
        self.token_budget = inner.token_budget
        self.out_of_memory = 0
        self._inner = inner
        self._lock = threading.RLock()  # values may be asked for in another thread than packs are handed over

    def submit(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> "PendingParts":
        """As `Backend.submit`; a pack above the budget, made before it fell, is computed in parts.

        Raises:
            WindowTooLarge: a single window does not fit.
        """
        with self._lock:
            return PendingParts(self, self._submit(ids_P, bounds_N1))

    def busy_seconds(self) -> float:
        """As `Backend.busy_seconds`, failed attempts left out."""
        return self._inner.busy_seconds()

    def _submit(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> list[_Part]:
        parts, first, last = [], 0, len(bounds_N1) - 1
        while first < last:
            # At least one window, else as many as the budget, which may fall on the way, has room for.
            fits = int(np.searchsorted(bounds_N1, bounds_N1[first] + self.token_budget, side="right")) - 1
            stop = max(fits, first + 1)
            start, end = bounds_N1[first], bounds_N1[stop]
            part = self._try(ids_P[start:end], bounds_N1[first : stop + 1] - start)
            if part is not None:
                parts.append(part)
                first = stop
        return parts

    def _try(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> _Part | None:
        """The part, or None where memory did not suffice and the budget has been halved."""
        try:
            return _Part(ids_P=ids_P, bounds_N1=bounds_N1, pending=self._inner.submit(ids_P, bounds_N1))
        except torch.OutOfMemoryError as error:
            what = str(error)
        # After the except clause, because the error's frames hold the tensors that are in the way.
        self._shrink(bounds_N1, what)
        return None

    def _values(self, part: _Part) -> np.ndarray:
        """A part's values, computed anew in smaller parts where memory did not suffice for it after all."""
        try:
            return part.pending.values()
        except torch.OutOfMemoryError as error:
            what = str(error)
        with self._lock:
            self._shrink(part.bounds_N1, what)
            again = self._submit(part.ids_P, part.bounds_N1)
        return np.concatenate([self._values(smaller) for smaller in again])

    def _shrink(self, bounds_N1: np.ndarray, what: str) -> None:
        self.out_of_memory += 1
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        tokens = int(bounds_N1[-1])
        if len(bounds_N1) == 2:
            details = what.splitlines()[0] if what else "no details"
            raise WindowTooLarge(
                f"one window of {tokens:,} tokens does not fit into the memory of {self.name}; use a bundle with a "
                f"smaller window, or let fewer tasks share the device ({details})"
            )
        self.token_budget = max(1, min(self.token_budget, tokens) // 2)


class PendingParts:
    """The `Pending` of a pack that may have been cut."""

    def __init__(self, owner: Halving, parts: list[_Part]) -> None:
        self._owner, self._parts = owner, parts
        self.computed = sum(part.pending.computed for part in parts)

    def values(self) -> np.ndarray:
        """As `Pending.values`. Raises WindowTooLarge: a single window does not fit."""
        values = [self._owner._values(part) for part in self._parts]
        return values[0] if len(values) == 1 else np.concatenate(values)
