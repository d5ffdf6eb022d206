"""95 % intervals over documents: every figure is computed again on 1,000 draws of the documents with replacement.

Documents, not tokens, are drawn: tokens of one document share its topic and its label, and intervals over tokens would
be far too narrow. One set of draws serves all scorers of a group, so a difference between two of them has a paired
interval, in which what is hard about a document cancels.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

DRAWS = 1000
FEWEST_DOCUMENTS = 5  # a resampling of fewer says nothing about documents that are not there
_BLOCK = 4096  # documents multiplied at a time


class Estimate(BaseModel):
    """A figure with its 95 % interval; None where the documents do not decide it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def text(self, digits: int = 3) -> str:
        """The figure, and its interval in brackets where it has one."""
        if self.value is None:
            return "undecided"
        value = f"{self.value:.{digits}f}"
        if self.low is None or self.high is None:
            return value
        return f"{value} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How often each of D documents comes up in each of R draws: uint16 [R, D]."""

    weights_RD: np.ndarray

    @classmethod
    def of(cls, documents: int, seed: int, draws: int = DRAWS) -> "Draws":
        """Draws of D documents with replacement, a function of their number and the seed alone."""
        rng = np.random.default_rng(seed)
        weights_RD = np.empty((draws, documents), dtype=np.uint16)
        even_D = np.full(documents, 1 / max(documents, 1))
        for draw in range(draws if documents else 0):
            weights_RD[draw] = rng.multinomial(documents, even_D)
        return cls(weights_RD=weights_RD)

    def sums(self, counts_DK: np.ndarray) -> np.ndarray:
        """Counts per document, [D, K], summed over each draw: float64 [R, K]."""
        total_RK = np.zeros((len(self.weights_RD), counts_DK.shape[1]))
        for first in range(0, len(counts_DK), _BLOCK):
            part = slice(first, first + _BLOCK)
            total_RK += self.weights_RD[:, part].astype(float) @ counts_DK[part].astype(float)
        return total_RK

    def estimate(self, value: float | np.ndarray, values_R: np.ndarray) -> Estimate:
        """The figure with its 95 % percentile interval.

        Draws in which the figure is undefined, for want of a class, are left out; when that is more than half of
        them, or there are fewer than 5 documents, there is no interval.
        """
        if not np.isfinite(value):
            return Estimate(value=None)
        defined = values_R[np.isfinite(values_R)]
        if self.weights_RD.shape[1] < FEWEST_DOCUMENTS or 2 * len(defined) < len(values_R):
            return Estimate(value=float(value))
        low, high = np.percentile(defined, [2.5, 97.5])
        return Estimate(value=float(value), low=float(low), high=float(high))
