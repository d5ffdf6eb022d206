"""Runs a freshly trained encoder over whole documents, in the windows and packs that scoring jobs use.

A recipe has to read features and scores before there is a bundle, so this is the scorer without bundles and devices.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.measuring.model import segment_means
from tokensieve.udfs.packing.windows import gather, kept, packs, scatter, windows
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
    """`read(features [P, d]) -> [P, width]` for all tokens: float32 [T, width].

    The encoder gets packs of windows, ids int64 [P] on the device and window bounds int64 [N + 1] on the CPU.
    """
    cuts = windows(np.diff(tokens.bounds_D1), walk.window, walk.margin)
    values_TK = np.empty((len(tokens.ids_T), width), dtype=np.float32)
    for pack in packs(cuts.lengths_W, walk.token_budget):
        ids_P, bounds_N1 = gather(tokens.ids_T, tokens.bounds_D1, cuts, pack)
        with torch.inference_mode():
            values_PK = read(encoder(torch.from_numpy(ids_P).to(walk.device), torch.from_numpy(bounds_N1))).float()
        from_P, _ = kept(cuts, pack)
        scatter(values_PK.cpu().numpy()[from_P], tokens.bounds_D1, cuts, pack, out_T=values_TK)
    return values_TK


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
