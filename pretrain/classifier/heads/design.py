"""Features as a head sees them: columns of one or several layers, standardised, a few thousand rows at a time.

Standardising is what lets one penalty fit every layer; it is folded into the head's weights afterwards, so a bundle
knows nothing of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

_ROWS = 16_384
_IN_MEMORY = 1 << 28  # float32 values: 1 GiB


@dataclass(frozen=True, kw_only=True)
class Scaler:
    """Mean and standard deviation of every column, float64 [K]; a constant column has the deviation 1."""

    mean_K: np.ndarray
    scale_K: np.ndarray

    def fold(self, weight_K: np.ndarray, bias: float) -> tuple[np.ndarray, float]:
        """Weights and bias for raw features that do what the given ones do for standardised ones."""
        raw_K = weight_K / self.scale_K
        return raw_K, float(bias - raw_K @ self.mean_K)


def fit_scaler(parts: Sequence[np.ndarray]) -> Scaler:
    """The scaler of layers side by side, each [N, W]; two passes, in float64."""
    means = [_column_mean(part, 0.0, 1) for part in parts]
    squares = [_column_mean(part, mean_W, 2) for part, mean_W in zip(parts, means, strict=True)]
    scale_K = np.sqrt(np.concatenate(squares))
    return Scaler(mean_K=np.concatenate(means), scale_K=np.where(scale_K > 0, scale_K, 1.0))


@dataclass(frozen=True)
class Design:
    """N rows of standardised features: `parts` are layers side by side, each [N, W]."""

    parts: tuple[np.ndarray, ...]
    scaler: Scaler

    def __len__(self) -> int:
        return len(self.parts[0])

    @property
    def width(self) -> int:
        """Columns in all."""
        return len(self.scaler.mean_K)

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Rows in order: their places, and float32 [n, K]."""
        for first in range(0, len(self), _ROWS):
            rows = slice(first, min(first + _ROWS, len(self)))
            yield rows, self.rows(rows)

    def rows(self, at: "slice | np.ndarray") -> Tensor:
        """Some rows, float32 [n, K]."""
        if len(self) * self.width <= _IN_MEMORY:
            return self._whole_NK[at]
        return self._standard(at)

    def logits(self, weight_K: np.ndarray, bias: float) -> np.ndarray:
        """Scores of a linear head on the standardised features: float32 [N]."""
        weight = torch.from_numpy(weight_K).float()
        return np.concatenate([(x_nK @ weight + bias).numpy() for _, x_nK in self.chunks()])

    @cached_property
    def _whole_NK(self) -> Tensor:
        return self._standard(slice(None))

    def _standard(self, at: "slice | np.ndarray") -> Tensor:
        raw_nK = np.concatenate([part[at] for part in self.parts], axis=1, dtype=np.float32)
        mean_K, scale_K = self.scaler.mean_K.astype(np.float32), self.scaler.scale_K.astype(np.float32)
        return torch.from_numpy((raw_nK - mean_K) / scale_K)


def _column_mean(part_NW: np.ndarray, center_W: "np.ndarray | float", power: int) -> np.ndarray:
    """Mean of (x - center) ** power over the rows, float64 [W]."""
    total_W = np.zeros(part_NW.shape[1])
    for first in range(0, len(part_NW), _ROWS):
        total_W += ((part_NW[first : first + _ROWS].astype(np.float64) - center_W) ** power).sum(axis=0)
    return total_W / max(len(part_NW), 1)
