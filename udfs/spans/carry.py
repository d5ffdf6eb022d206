"""Carries spans of bytes over to the tokens of any tokenizer: a token that overlaps a span by one byte has it.

Ties go to forgetting (arXiv 2601.21571, section on retokenization): precision is traded for recall at span borders.
Tokens and spans lie on one axis of bytes, of one document or of a batch laid end to end. `forgotten_tokens` marks the
tokens of a whole batch in one pass; `touched` and `largest` find by binary search the spans, int64 [N, 2], sorted and
disjoint, that tokens overlap, each token given by its first byte and its end.
"""

import numpy as np

from tokensieve.udfs.spans.intervals import Spans


def forgotten_tokens(bytes_T: np.ndarray, bounds_D1: np.ndarray, spans: Spans) -> np.ndarray:
    """Marks the tokens, bool [T], that overlap a span.

    Args: UTF-8 byte lengths of a batch's tokens, int [T], documents end to end; the documents' bounds in tokens, int64
    [D + 1]; spans on the same axis of bytes. A token of no bytes has the fate of its `carriers` token.
    """
    end_T = np.cumsum(bytes_T, dtype=np.int64)
    start_T = end_T - bytes_T
    change_T1 = np.zeros(len(bytes_T) + 1, dtype=np.int64)
    np.add.at(change_T1, np.searchsorted(end_T, spans.start_N, side="right"), 1)
    np.add.at(change_T1, np.searchsorted(start_T, spans.end_N, side="left"), -1)
    forgotten_T = np.cumsum(change_T1[:-1]) > 0
    return forgotten_T[carriers(bytes_T, bounds_D1)]


def carriers(bytes_T: np.ndarray, bounds_D1: np.ndarray) -> np.ndarray:
    """The token, int64 [T], whose bytes each token shares: itself, if it has any.

    A token of no bytes is a further piece of the character that the nearest token before it holds (byte fallback). At
    the start of a document it stands for what follows; in a document without any bytes, for itself.
    """
    at_T, has_T = np.arange(len(bytes_T), dtype=np.int64), np.asarray(bytes_T) > 0
    if has_T.all():  # as for every byte-level tokenizer
        return at_T
    before_T = np.maximum.accumulate(np.where(has_T, at_T, -1))
    after_T = np.minimum.accumulate(np.where(has_T, at_T, len(at_T))[::-1])[::-1]
    first_T, stop_T = (np.repeat(edge_D, np.diff(bounds_D1)) for edge_D in (bounds_D1[:-1], bounds_D1[1:]))
    return np.where(before_T >= first_T, before_T, np.where(after_T < stop_T, after_T, at_T))


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
