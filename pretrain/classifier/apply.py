"""Runs a freshly trained encoder over whole documents, in the windows and packs that scoring jobs use.

A recipe has to read features and scores before there is a bundle, so this is the scorer without bundles and devices.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch import Tensor, nn

from udfs import packed_forward
from udfs.tokenizer import ByteTokenizer, Tokenized

WINDOW, MARGIN, TOKEN_BUDGET = 1024, 128, 2048
_BATCH = 64  # documents whose features are held at a time


def token_values(encoder: nn.Module, read: Callable[[Tensor], Tensor], tokens: Tokenized, width: int) -> np.ndarray:
    """`read(features [P, d]) -> [P, width]` for all tokens: float32 [T, width]."""
    return packed_forward.token_values(
        lambda ids_P, bounds_N1: read(encoder(ids_P, bounds_N1)),
        tokens,
        width,
        window=WINDOW,
        margin=MARGIN,
        token_budget=TOKEN_BUDGET,
    )


def pooled_features(encoder: nn.Module, dim: int, tokenizer: ByteTokenizer, texts: Sequence[str]) -> np.ndarray:
    """Mean feature per document: float64 [D, dim]; zeros for a document without tokens."""
    parts = [
        segment_means(token_values(encoder, lambda x_PD: x_PD, tokens, dim), tokens.bounds_D1)
        for _, tokens in batches(tokenizer, texts)
    ]
    return np.concatenate(parts)


def batches(tokenizer: ByteTokenizer, texts: Sequence[str]) -> Iterator[tuple[Sequence[str], Tokenized]]:
    """The texts a few at a time, with their tokens.

    Raises:
        ValueError: a text cannot be tokenised; names its place.
    """
    for first in range(0, len(texts), _BATCH):
        some = texts[first : first + _BATCH]
        tokens = tokenizer.encode(some)
        if tokens.failed:
            at, why = next(iter(tokens.failed.items()))
            raise ValueError(f"text {first + at} cannot be tokenised: {why}")
        yield some, tokens


def segment_means(values_TK: np.ndarray, bounds_D1: np.ndarray) -> np.ndarray:
    """Mean over each document's tokens: float64 [D, K]."""
    sums_T1K = np.concatenate([np.zeros((1, values_TK.shape[1])), np.cumsum(values_TK, axis=0, dtype=np.float64)])
    sums_DK = sums_T1K[bounds_D1[1:]] - sums_T1K[bounds_D1[:-1]]
    return sums_DK / np.maximum(np.diff(bounds_D1), 1)[:, None]
