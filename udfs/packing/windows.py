"""Cuts long documents into overlapping windows and fills packs of them up to a token budget.

Every token is kept from exactly one window, in which it stands at least `margin` tokens away from an inner edge;
nothing is truncated and nothing is averaged, so the result does not depend on the layout of the batch. The price is
twice the margin once a window beyond the first: 256 tokens more for every 768.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Windows:
    """W windows of a batch of documents; positions are in tokens, relative to the window's document; all int64.

    Attributes:
        doc_W: the document of each window, ascending.
        start_W, stop_W: the tokens the encoder reads.
        keep_start_W, keep_stop_W: the tokens whose scores are kept from this window.
    """

    doc_W: np.ndarray
    start_W: np.ndarray
    stop_W: np.ndarray
    keep_start_W: np.ndarray
    keep_stop_W: np.ndarray

    @property
    def lengths_W(self) -> np.ndarray:
        """Tokens the encoder reads per window, int64."""
        return self.stop_W - self.start_W


def windows(lengths_D: np.ndarray, window: int = 1024, margin: int = 128) -> Windows:
    """Windows of documents of the given lengths (tokens); an empty document has none.

    The last window is as short as what is left, and at least 2 * margin + 1 tokens: sliding it back to be full would
    read up to a stride more and give its tokens no more than the context that all others are content with.

    Raises:
        ValueError: unless 0 <= margin and 2 * margin < window.
    """
    if margin < 0 or 2 * margin >= window:
        raise ValueError(f"window {window} must be more than twice the margin {margin}, and the margin not negative")
    lengths_D = np.asarray(lengths_D, dtype=np.int64)
    stride = window - 2 * margin
    more_D = -(-np.maximum(lengths_D - window, 0) // stride)
    counts_D = np.where(lengths_D > 0, 1 + more_D, 0)
    doc_W = np.repeat(np.arange(len(lengths_D), dtype=np.int64), counts_D)
    nth_W = runs(np.zeros_like(counts_D), counts_D)
    length_W = lengths_D[doc_W]
    start_W = nth_W * stride
    last_W = nth_W == counts_D[doc_W] - 1
    return Windows(
        doc_W=doc_W,
        start_W=start_W,
        stop_W=np.minimum(start_W + window, length_W),
        keep_start_W=np.where(nth_W == 0, 0, nth_W * stride + margin),
        keep_stop_W=np.where(last_W, length_W, (nth_W + 1) * stride + margin),
    )


def packs(lengths_W: np.ndarray, token_budget: int) -> list[np.ndarray]:
    """Window indices (int64) per pack, longest windows first, equal lengths in their order.

    A pack's tokens stay within the budget unless one window alone exceeds it. Longest first, so that a budget too large
    for the memory fails in the first pack and not after an hour.

    Raises:
        ValueError: the budget is not positive.
    """
    if token_budget < 1:
        raise ValueError(f"token budget must be at least 1, not {token_budget}")
    lengths_W = np.asarray(lengths_W, dtype=np.int64)
    order_W = np.argsort(-lengths_W, kind="stable")
    ends_W = np.cumsum(lengths_W[order_W])
    result, first = [], 0
    while first < len(order_W):
        used = ends_W[first - 1] if first else 0
        stop = max(int(np.searchsorted(ends_W, used + token_budget, side="right")), first + 1)
        result.append(order_W[first:stop])
        first = stop
    return result


def gather(ids_T: np.ndarray, bounds_D1: np.ndarray, cut: Windows, pack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the encoder reads for one pack.

    Args:
        ids_T: token ids of the batch; bounds_D1: its documents' bounds (as in `Tokenized`).
        cut: windows of those documents; pack: the indices of N of them.

    Returns:
        ids_P int64, the windows' ids end to end, and bounds_N1 int64, window n at bounds_N1[n]:bounds_N1[n + 1].
    """
    lengths_N = cut.lengths_W[pack]
    from_P = runs(bounds_D1[cut.doc_W[pack]] + cut.start_W[pack], lengths_N)
    return ids_T[from_P].astype(np.int64), np.concatenate([[0], np.cumsum(lengths_N)]).astype(np.int64)


def kept(cut: Windows, pack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of a pack's values are kept, int64 [K], and how many of each of its N windows, int64 [N]."""
    lengths_N, keep_N = cut.lengths_W[pack], cut.keep_start_W[pack]
    kept_N = cut.keep_stop_W[pack] - keep_N
    return runs(np.cumsum(lengths_N) - lengths_N + keep_N - cut.start_W[pack], kept_N), kept_N


def scatter(kept_K: np.ndarray, bounds_D1: np.ndarray, cut: Windows, pack: np.ndarray, out_T: np.ndarray) -> None:
    """Writes the values of a pack's kept tokens, [K] or [K, k] as `kept` picks them, to their places in out_T."""
    keep_N = cut.keep_start_W[pack]
    out_T[runs(bounds_D1[cut.doc_W[pack]] + keep_N, cut.keep_stop_W[pack] - keep_N)] = kept_K


def runs(starts_N: np.ndarray, lengths_N: np.ndarray) -> np.ndarray:
    """The integers starts_N[n] .. starts_N[n] + lengths_N[n] - 1 of all runs, end to end (int64)."""
    ends_N = np.cumsum(lengths_N, dtype=np.int64)
    total = int(ends_N[-1]) if len(ends_N) else 0
    return np.arange(total, dtype=np.int64) + np.repeat(starts_N - (ends_N - lengths_N), lengths_N)
