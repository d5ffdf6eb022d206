"""Interval arithmetic on flat arrays: runs of tokens, their merging, and the overlay of several policies' spans.

A batch of documents lies end to end on one axis, so nothing here loops over documents or tokens. Spans are
(start, end) with the end exclusive, sorted, disjoint.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Spans:
    """N spans of a batch on one flat axis, sorted and disjoint: int64 [N] each."""

    start_N: np.ndarray
    end_N: np.ndarray

    def __len__(self) -> int:
        return len(self.start_N)

    def where(self, keep_N: np.ndarray) -> "Spans":
        return Spans(start_N=self.start_N[keep_N], end_N=self.end_N[keep_N])


def owners(position_N: np.ndarray, bounds_D1: np.ndarray) -> np.ndarray:
    """The document, int64 [N], in which each flat position lies."""
    return np.searchsorted(bounds_D1, position_N, side="right") - 1


def runs(flags_T: np.ndarray, bounds_D1: np.ndarray) -> Spans:
    """Maximal runs of true flags, bool [T], cut at document bounds, int64 [D+1]."""
    if not len(flags_T):
        return Spans(start_N=np.empty(0, np.int64), end_N=np.empty(0, np.int64))
    first_T = np.zeros(len(flags_T) + 1, dtype=bool)
    first_T[bounds_D1] = True
    before_T = np.concatenate([[False], flags_T[:-1]])
    after_T = np.concatenate([flags_T[1:], [False]])
    start_N = np.flatnonzero(flags_T & (~before_T | first_T[:-1]))
    last_N = np.flatnonzero(flags_T & (~after_T | first_T[1:]))
    return Spans(start_N=start_N, end_N=last_N + 1)


def highest(values_T: np.ndarray, spans: Spans) -> np.ndarray:
    """The highest value, [N], within each span of the flat axis; spans are not empty."""
    if not len(spans):
        return values_T[:0]
    edges_N2 = np.stack([spans.start_N, spans.end_N], axis=1).ravel()
    last = len(edges_N2) - (edges_N2[-1] == len(values_T))  # reduceat takes no edge at the end of the axis
    return np.maximum.reduceat(values_T, edges_N2[:last])[::2]


def bridge(spans: Spans, gap: int, bounds_D1: np.ndarray) -> Spans:
    """Joins neighbours of one document that lie at most `gap` apart; gap 0 joins those that touch or overlap.

    Starts and ends must both be sorted.
    """
    if len(spans) < 2:
        return spans
    owner_N = owners(spans.start_N, bounds_D1)
    apart = (spans.start_N[1:] - spans.end_N[:-1] > gap) | (owner_N[1:] != owner_N[:-1])
    return Spans(
        start_N=spans.start_N[np.concatenate([[True], apart])],
        end_N=spans.end_N[np.concatenate([apart, [True]])],
    )


def dilate(spans: Spans, by: int, bounds_D1: np.ndarray) -> Spans:
    """Widens every span by `by` on both sides, not past its document, and joins those that then touch."""
    if by == 0 or not len(spans):
        return spans
    owner_N = owners(spans.start_N, bounds_D1)
    start_N = np.maximum(spans.start_N - by, bounds_D1[owner_N])
    end_N = np.minimum(spans.end_N + by, bounds_D1[owner_N + 1])
    return bridge(Spans(start_N=start_N, end_N=end_N), 0, bounds_D1)


def overlay(layers: list[Spans], bounds_D1: np.ndarray) -> tuple[Spans, np.ndarray]:
    """Lays spans of several policies over each other; where they overlap the earlier layer wins.

    Args: the layers, strongest first, and the document bounds on the same flat axis.
    Returns disjoint sorted spans and the layer, int64 [N], that each belongs to. Neighbours that touch stay apart
    unless both layer and document agree.
    """
    if len(layers) == 1:
        alone = bridge(layers[0], 0, bounds_D1)
        return alone, np.zeros(len(alone), dtype=np.int64)
    cuts_C = np.unique(np.concatenate([bounds_D1, *(s.start_N for s in layers), *(s.end_N for s in layers)]))
    layer_C = np.full(len(cuts_C), len(layers), dtype=np.int64)
    for layer in reversed(range(len(layers))):
        change_C = np.zeros(len(cuts_C), dtype=np.int64)
        np.add.at(change_C, np.searchsorted(cuts_C, layers[layer].start_N), 1)
        np.add.at(change_C, np.searchsorted(cuts_C, layers[layer].end_N), -1)
        layer_C[np.cumsum(change_C) > 0] = layer
    starts_document_C = np.isin(cuts_C, bounds_D1)
    begins_C = (np.concatenate([[-1], layer_C[:-1]]) != layer_C) | starts_document_C
    begin_N = np.flatnonzero(begins_C & (layer_C < len(layers)))
    next_begin_C = np.concatenate([np.flatnonzero(begins_C), [len(cuts_C) - 1]])
    end_N = next_begin_C[np.searchsorted(next_begin_C, begin_N, side="right")]
    return Spans(start_N=cuts_C[begin_N], end_N=cuts_C[end_N]), layer_C[begin_N]
