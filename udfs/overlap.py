"""Which of a document's spans each token touches: "any overlap" (arXiv 2601.21571) by binary search.

Spans are int64 [N, 2], sorted and disjoint; a token is its first byte and its end. Both lie on one axis of bytes, of
one document or of a batch laid end to end.
"""

import numpy as np


def touched(spans_N2: np.ndarray, start_T: np.ndarray, end_T: np.ndarray) -> np.ndarray:
    """bool [T]: the token overlaps a span by at least one byte. A token without bytes overlaps nothing."""
    first_T, after_T = _touched_range(spans_N2, start_T, end_T)
    return after_T > first_T


def largest(spans_N2: np.ndarray, values_N: np.ndarray, start_T: np.ndarray, end_T: np.ndarray) -> np.ndarray:
    """The largest of the float32 values of the spans each token touches, 0 for none: float32 [T]."""
    first_T, after_T = _touched_range(spans_N2, start_T, end_T)
    out_T, touches_T = np.zeros(len(start_T), dtype=np.float32), after_T > first_T
    if touches_T.any():
        pairs = np.stack([first_T[touches_T], after_T[touches_T]], axis=1).ravel()
        # reduceat takes the even places; the odd ones only end the stretches before them.
        out_T[touches_T] = np.maximum.reduceat(np.append(values_N, np.float32(0)), pairs)[::2]
    return out_T


def _touched_range(spans_N2: np.ndarray, start_T: np.ndarray, end_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first span that ends behind each token's start, and the first that starts at its end or later."""
    first_T = np.searchsorted(spans_N2[:, 1], start_T, side="right")
    after_T = np.searchsorted(spans_N2[:, 0], end_T, side="left")
    return first_T, np.where(end_T > start_T, after_T, first_T)
