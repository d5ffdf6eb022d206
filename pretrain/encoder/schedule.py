"""Which pieces of which documents each step reads: a function of content, shares and seed, so a run can start anywhere.

Each source is read again and again in a fresh order, each of its tokens once an epoch. Sources are merged as in
weighted fair queueing: a piece's turn is the number of its source's tokens before it over the source's share, so at any
moment every source is within a piece, for each source, of its share. What is given up is memory: 12 bytes for every
piece of the whole run, and four times that while it is laid out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.pretrain.hashing import mixed, salt
from tokensieve.udfs.packing.windows import runs


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """P pieces of at most `context` tokens that tile a source's documents; no piece crosses a document's border.

    Attributes:
        doc_P, start_P, length_P: the document, the piece's first token in it, its tokens; int64.
        key_P: uint64 that depends on the document's content, on how many equal ones stand before it, and on the piece's
            number in it.
    """

    doc_P: np.ndarray
    start_P: np.ndarray
    length_P: np.ndarray
    key_P: np.ndarray

    def __len__(self) -> int:
        return len(self.doc_P)


def cut(length_D: np.ndarray, hash_D: np.ndarray, chosen_D: np.ndarray, context: int) -> Pieces:
    """Cuts the chosen documents into as few pieces as fit the context, of equal size but for one token.

    Equal, because the last few tokens of a long document would otherwise be learned without any context.
    """
    docs_D = np.flatnonzero(chosen_D)
    pieces_D = -(-length_D[docs_D] // context)
    at_P = np.repeat(np.arange(len(docs_D)), pieces_D)
    doc_P = docs_D[at_P]
    nth_P, of_P = runs(np.zeros_like(pieces_D), pieces_D), np.repeat(pieces_D, pieces_D)
    start_P = nth_P * length_D[doc_P] // of_P
    return Pieces(
        doc_P=doc_P,
        start_P=start_P,
        length_P=(nth_P + 1) * length_D[doc_P] // of_P - start_P,
        key_P=mixed(mixed(hash_D[docs_D] ^ mixed(_equals_before(hash_D[docs_D])))[at_P] ^ mixed(nth_P)),
    )


def _equals_before(hash_D: np.ndarray) -> np.ndarray:
    """How many of the documents before it have a document's hash: without it, copies would be read side by side."""
    order_D = np.argsort(hash_D, kind="stable")
    _, counts_U = np.unique(hash_D, return_counts=True)
    before_D = np.empty(len(hash_D), np.int64)
    before_D[order_D] = runs(np.zeros_like(counts_U), counts_U)
    return before_D


def epoch_order(pieces: Pieces, seed: int, epoch: int) -> np.ndarray:
    """The order, int64 [P], in which an epoch reads the pieces."""
    return np.argsort(mixed(pieces.key_P ^ salt(seed, epoch)), kind="stable")


class Schedule:
    """The pieces of every step of a run.

    Attributes:
        epochs: how often each source is read, a fraction for the last time.
    """

    def __init__(
        self, sources: Sequence[Pieces], shares: Sequence[float], *, step_tokens: int, steps: int, seed: int
    ) -> None:
        """Lays out `steps * step_tokens` tokens; a step may exceed or miss `step_tokens` by less than one piece."""
        needed = [steps * step_tokens * share for share in shares]
        streams = [_stream(pieces, tokens, seed) for pieces, tokens in zip(sources, needed, strict=True)]
        turn_N = np.concatenate([_before(lengths) / share for (_, lengths), share in zip(streams, shares)])
        order_N = np.argsort(turn_N, kind="stable")
        source_N = np.repeat(np.arange(len(streams), dtype=np.int32), [len(piece) for piece, _ in streams])
        self._source_N = source_N[order_N]
        self._piece_N = np.concatenate([piece for piece, _ in streams])[order_N]
        before_N = _before(np.concatenate([lengths for _, lengths in streams])[order_N])
        self._first_S1 = np.searchsorted(before_N, np.arange(steps + 1, dtype=np.int64) * step_tokens)
        self.steps = steps
        self.epochs = [tokens / int(pieces.length_P.sum()) for tokens, pieces in zip(needed, sources)]

    def step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Source and piece of everything that step `step` (from 0) reads, int32 and int64 [N]."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        span = slice(self._first_S1[step], self._first_S1[step + 1])
        return self._source_N[span], self._piece_N[span]


def _stream(pieces: Pieces, tokens: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pieces and their lengths until at least so many tokens are read, epoch after epoch."""
    epochs = int(tokens // int(pieces.length_P.sum())) + 1
    order_N = np.concatenate([epoch_order(pieces, seed, epoch) for epoch in range(epochs)])
    lengths_N = pieces.length_P[order_N]
    stop = int(np.searchsorted(_before(lengths_N), tokens))
    return order_N[:stop], lengths_N[:stop]


def _before(lengths_N: np.ndarray) -> np.ndarray:
    return np.cumsum(lengths_N, dtype=np.int64) - lengths_N
