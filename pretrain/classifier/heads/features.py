"""Reads the frozen features of drawn tokens once, every layer at a time, into memory-mapped files for sweeps.

The same pass gives the mean feature of every document for the document head. Memory is that of a few documents; the
disk holds N x layers x width numbers, half precision by default, which is what a bundle's weights have too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from pretrain.classifier.apply import Walk, features, segment_means
from pretrain.classifier.errors import FitError
from pretrain.classifier.heads.draw import Drawn
from pretrain.classifier.labels import Documents
from udfs.tokenizer import ByteTokenizer


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


def _check_finite(x_NW: np.ndarray, layer: int, ids: Sequence[str], precision: str) -> None:
    if not np.isfinite(x_NW).all():
        raise FitError(
            f"features of layer {layer} are not finite in {precision}, in one of the documents {ids[0]} to {ids[-1]}: "
            "set encoder.precision to float32; if that fails too, the encoder's weights are broken"
        )
