"""Runs a freshly trained encoder over whole documents, in the windows and packs that scoring jobs use.

A recipe has to read features and scores before there is a bundle, so this is the scorer without bundles and devices.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.measuring.model import segment_means
from tokensieve.udfs.packing import packed_forward
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

_BATCH = 64  # documents that are tokenised at a time
_VALUES = 1 << 26  # float32 values held at a time: 256 MiB, or one document


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How an encoder goes over a document: window, margin and pack size in tokens (`udfs.packing.windows`), where."""

    window: int = 1024
    margin: int = 128
    token_budget: int = 2048
    device: str = "cpu"


def token_values(
    encoder: nn.Module, read: Callable[[Tensor], Tensor], tokens: Tokenized, width: int, walk: Walk
) -> np.ndarray:
    """`read(features [P, d]) -> [P, width]` for all tokens: float32 [T, width]."""
    return packed_forward.token_values(
        lambda ids_P, bounds_N1: read(encoder(ids_P, bounds_N1)).float(),
        tokens,
        width,
        window=walk.window,
        margin=walk.margin,
        token_budget=walk.token_budget,
        device=walk.device,
    )


def features(
    encoder: nn.Module, dim: int, tokenizer: ByteTokenizer, texts: Sequence[str], walk: Walk
) -> Iterator[tuple[int, Tokenized, np.ndarray]]:
    """All features, a few documents at a time: the first one's place, their tokens, float32 [T, dim]."""
    place = 0
    for _, tokens in batches(tokenizer, texts):
        for part in parts(tokens, _VALUES // dim):
            yield place, part, token_values(encoder, lambda x_PD: x_PD, part, dim, walk)
            place += len(part.bounds_D1) - 1


def pooled_features(
    encoder: nn.Module, dim: int, tokenizer: ByteTokenizer, texts: Sequence[str], walk: Walk
) -> np.ndarray:
    """Mean feature per document: float64 [D, dim]; zeros for a document without tokens."""
    means = [segment_means(x_TD, part.bounds_D1) for _, part, x_TD in features(encoder, dim, tokenizer, texts, walk)]
    return np.concatenate(means)


def batches(tokenizer: ByteTokenizer, texts: Sequence[str]) -> Iterator[tuple[Sequence[str], Tokenized]]:
    """The texts a few at a time, with their tokens.

    Raises:
        FitError: a text cannot be tokenised; names its place.
    """
    for first in range(0, len(texts), _BATCH):
        some = texts[first : first + _BATCH]
        tokens = tokenizer.encode(some)
        if tokens.failed:
            at, why = next(iter(tokens.failed.items()))
            raise FitError(f"text {first + at} cannot be tokenised: {why}")
        yield some, tokens


def parts(tokens: Tokenized, budget: int) -> Iterator[Tokenized]:
    """The documents in order, as many at a time as have at most `budget` tokens, but at least one."""
    bounds_D1 = tokens.bounds_D1
    first, documents = 0, len(bounds_D1) - 1
    while first < documents:
        last = max(first + 1, int(np.searchsorted(bounds_D1, bounds_D1[first] + budget, side="right")) - 1)
        piece = slice(int(bounds_D1[first]), int(bounds_D1[last]))
        yield Tokenized(
            ids_T=tokens.ids_T[piece],
            bytes_T=tokens.bytes_T[piece],
            bounds_D1=bounds_D1[first : last + 1] - bounds_D1[first],
            failed={},
        )
        first = last
