"""Which tokens a head is fitted on: as many forbidden as other ones, over documents and windows (arXiv 2601.21571).

A token's place in the draw is a hash of its document's text, its position and the seed, so it does not depend on the
order of the documents. Balancing throws tokens of the larger class away; the threshold is calibrated afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from tokensieve.pretrain.classifier.apply import batches
from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.hashing import GAMMA, mixed
from tokensieve.pretrain.labelled.labels import Documents, content_share, targets
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized


class DrawConfig(BaseModel):
    """How many tokens a head is fitted on.

    Attributes:
        documents: documents of each class, those with the lowest content hashes; None takes all.
        per_window, window: at most so many tokens of every stretch of `window` tokens.
        tokens: at most so many tokens in all, half of them forbidden; None takes all that were drawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: int | None = Field(default=None, ge=1)
    window: int = Field(default=1024, ge=1)
    per_window: int = Field(default=256, ge=1)
    tokens: int | None = Field(default=None, ge=2)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """N tokens in the order of their documents: document and position in it, int64 [N]; targets float32 [N]."""

    document_N: np.ndarray
    position_N: np.ndarray
    value_N: np.ndarray

    def __len__(self) -> int:
        return len(self.value_N)


def lowest_of_each_class(documents: Documents, count: int | None) -> Documents:
    """At most `count` positive and `count` other documents, those with the lowest content hashes; None: all."""
    if count is None:
        return documents
    order_D = np.argsort(content_share(documents.texts), kind="stable")
    mask_D = np.zeros(len(documents), dtype=bool)
    for value in (True, False):
        mask_D[order_D[documents.positive_D[order_D] == value][:count]] = True
    return documents.where(mask_D)


def draw_tokens(documents: Documents, tokenizer: ByteTokenizer, config: DrawConfig, seed: int) -> Drawn:
    """Draws known tokens, half of them with a target of at least one half.

    Tokens without bytes of their own (parts of a character that an earlier token stands for) are left out.

    Raises:
        FitError: no known token of one of the classes.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    first = 0
    for some, tokens in batches(tokenizer, documents.texts):
        value_T, known_T = targets(documents, tokens, first)
        document_T, position_T = _places(tokens)
        key_T = _keys(some, document_T, position_T, seed)
        eligible = np.flatnonzero(known_T & (tokens.bytes_T > 0))
        at = eligible[_lowest(key_T[eligible], document_T[eligible], position_T[eligible] // config.window, config)]
        parts.append((document_T[at] + first, position_T[at], value_T[at], key_T[at]))
        first += len(some)
    document_N, position_N, value_N, key_N = (np.concatenate(column) for column in zip(*parts))
    chosen = _balanced(value_N >= 0.5, key_N, config.tokens)
    return Drawn(document_N=document_N[chosen], position_N=position_N[chosen], value_N=value_N[chosen])


def _places(tokens: Tokenized) -> tuple[np.ndarray, np.ndarray]:
    """The document of every token, and its position there."""
    lengths_D = np.diff(tokens.bounds_D1)
    document_T = np.repeat(np.arange(len(lengths_D)), lengths_D)
    return document_T, np.arange(len(document_T)) - tokens.bounds_D1[document_T]


def _keys(texts: Sequence[str], document_T: np.ndarray, position_T: np.ndarray, seed: int) -> np.ndarray:
    """A pseudo-random uint64 per token (splitmix64 of text hash, seed and position)."""
    text_D = np.array([xxhash.xxh3_64_intdigest(text.encode("utf-8"), seed=seed) for text in texts], dtype=np.uint64)
    return mixed(text_D[document_T] + position_T.astype(np.uint64) * GAMMA)


def _lowest(key_T: np.ndarray, document_T: np.ndarray, window_T: np.ndarray, config: DrawConfig) -> np.ndarray:
    """Rows of the `per_window` lowest keys of each window, ascending."""
    order_T = np.lexsort((key_T, window_T, document_T))
    document_T, window_T = document_T[order_T], window_T[order_T]
    begins_T = np.ones(len(order_T), dtype=bool)
    begins_T[1:] = (document_T[1:] != document_T[:-1]) | (window_T[1:] != window_T[:-1])
    start_T = np.maximum.accumulate(np.where(begins_T, np.arange(len(order_T)), 0))
    return np.sort(order_T[np.arange(len(order_T)) - start_T < config.per_window])


def _balanced(positive_N: np.ndarray, key_N: np.ndarray, limit: int | None) -> np.ndarray:
    """Rows, ascending: equally many of both classes, those with the lowest keys."""
    classes = [np.flatnonzero(positive_N), np.flatnonzero(~positive_N)]
    count = min(map(len, classes))
    if not count:
        raise FitError(
            f"a head needs tokens of both classes; {len(classes[0])} of {len(positive_N)} known tokens are forbidden: "
            "give more documents, or another label set"
        )
    count = count if limit is None else min(count, limit // 2)
    return np.sort(np.concatenate([at[np.argsort(key_N[at], kind="stable")[:count]] for at in classes]))
