"""The frozen features of drawn tokens: read once, every layer, into memory-mapped files, then seen by heads in chunks.

The reading pass also gives the mean feature of every document for the document head. Memory is that of a few documents;
the disk holds N x layers x width numbers, half precision by default, which is what a bundle's weights have too.

A head sees columns of one or several layers, standardised, a few thousand rows at a time. Standardising is what lets
one penalty fit every layer; it is folded into the head's weights afterwards, so a bundle knows nothing of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tokensieve.pretrain.classifier.apply import Walk, features
from tokensieve.pretrain.classifier.draw_tokens import Drawn
from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.pretrain.measuring.model import segment_means
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

_ROWS = 16_384
_IN_MEMORY = 1 << 28  # float32 values: 1 GiB


@dataclass(frozen=True, kw_only=True)
class Features:
    """Frozen features of N tokens of D documents.

    Attributes:
        layers: by layer the features of the tokens, float16 or float32 [N, W], on disk.
        value_N: float32 targets of the tokens.
        pooled: by layer the mean feature of each document over all its tokens, float32 [D, W].
        positive_D: bool, the documents' own labels.
    """

    layers: dict[int, np.ndarray]
    value_N: np.ndarray
    pooled: dict[int, np.ndarray]
    positive_D: np.ndarray


def extract(
    encoder: nn.Module,
    layers: Sequence[int],
    tokenizer: ByteTokenizer,
    documents: Documents,
    drawn: Drawn,
    *,
    walk: Walk,
    folder: Path,
    precision: str = "float16",
) -> Features:
    """Runs the encoder, whose features are those of `layers` end to end, over the documents.

    Args:
        folder: where the files go; it must exist. precision: numpy's name of the files' dtype.

    Raises:
        FitError: the encoder's width is no multiple of the number of layers; a feature is not finite in the dtype.
    """
    dim = int(getattr(encoder, "dim"))  # noqa: B009  # an nn.Module's attribute, which type checkers cannot see
    width, left = divmod(dim, len(layers))
    if left:
        raise FitError(f"the encoder's {dim} features are not those of {len(layers)} layers")
    shape = (len(drawn), width)
    files = {n: np.lib.format.open_memmap(folder / f"layer-{n}.npy", "w+", precision, shape) for n in layers}
    pooled_DK = np.empty((len(documents), dim), dtype=np.float32)
    starts_D1 = np.searchsorted(drawn.document_N, np.arange(len(documents) + 1))
    for first, tokens, x_TK in features(encoder, dim, tokenizer, documents.texts, walk):
        last = first + len(tokens.bounds_D1) - 1
        pooled_DK[first:last] = segment_means(x_TK, tokens.bounds_D1)
        rows = slice(int(starts_D1[first]), int(starts_D1[last]))
        at = tokens.bounds_D1[drawn.document_N[rows] - first] + drawn.position_N[rows]
        for number, layer in enumerate(layers):
            with np.errstate(over="ignore"):
                files[layer][rows] = x_TK[at, number * width : (number + 1) * width]
            _check_finite(files[layer][rows], layer, documents.ids[first:last], precision)
    return Features(
        layers=dict(files),
        value_N=drawn.value_N,
        pooled={n: pooled_DK[:, i * width : (i + 1) * width] for i, n in enumerate(layers)},
        positive_D=documents.positive_D,
    )


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


def _check_finite(x_NW: np.ndarray, layer: int, ids: Sequence[str], precision: str) -> None:
    if not np.isfinite(x_NW).all():
        raise FitError(
            f"features of layer {layer} are not finite in {precision}, in one of the documents {ids[0]} to {ids[-1]}: "
            "set encoder.precision to float32; if that fails too, the encoder's weights are broken"
        )


def _column_mean(part_NW: np.ndarray, center_W: "np.ndarray | float", power: int) -> np.ndarray:
    """Mean of (x - center) ** power over the rows, float64 [W]."""
    total_W = np.zeros(part_NW.shape[1])
    for first in range(0, len(part_NW), _ROWS):
        total_W += ((part_NW[first : first + _ROWS].astype(np.float64) - center_W) ** power).sum(axis=0)
    return total_W / max(len(part_NW), 1)
