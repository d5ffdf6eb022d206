"""What a rule forgets at each of many thresholds, in one pass over the scores: for who has still to choose one.

No step of a rule forgets less at a lower threshold. So one number a token, how many of the thresholds forget it, holds
all answers, and runs, gaps and dilation become smallest and largest numbers over windows (threshold decomposition of
flat morphology, Maragos and Schafer 1987). Policies are counted one by one, as if each were the only one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tokensieve.udfs.deciding.decide_rows import policy_scores
from tokensieve.udfs.deciding.rule import PolicyScores, Rule, drops, passes
from tokensieve.udfs.scores.stored_scores import grid_threshold
from tokensieve.udfs.spans.intervals import highest, runs

SWEEP_SCHEMA = (
    "policy string, threshold double, documents bigint, tokens bigint, text_bytes bigint, "
    "marked bigint, dropped bigint, forget_tokens bigint, forget_bytes bigint"
)
MOST_THRESHOLDS = 255


@dataclass(frozen=True, kw_only=True)
class Swept:
    """Counts at K thresholds, int64 [K] each.

    Attributes:
        marked: documents that have forget spans and are not dropped; dropped: documents that are.
        forget_tokens: classifier tokens in forget spans; forget_bytes: UTF-8 bytes in them.
    """

    marked_K: np.ndarray
    dropped_K: np.ndarray
    forget_tokens_K: np.ndarray
    forget_bytes_K: np.ndarray


def sweep_rows(
    rules: Mapping[str, Rule], thresholds: Sequence[float], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Sweeps one partition.

    Args: every policy's rule, of which `threshold` does not count; the thresholds, ascending; batches with one struct
    column per policy.
    Yields batches of SWEEP_SCHEMA, a row per policy and threshold, to be added up over batches and partitions.
    """
    for batch in batches:
        for policy, rule in rules.items():
            scores = policy_scores(batch.column(policy))  # type: ignore[arg-type]
            found, count = sweep(rule, thresholds, scores), len(thresholds)
            yield pa.RecordBatch.from_pydict(
                {
                    "policy": pa.repeat(pa.scalar(policy), count),
                    "threshold": pa.array(thresholds, pa.float64()),
                    "documents": np.full(count, len(scores.bounds_D1) - 1),
                    "tokens": np.full(count, len(scores.scores_T)),
                    "text_bytes": np.full(count, scores.byte_offset_T1[-1]),
                    "marked": found.marked_K,
                    "dropped": found.dropped_K,
                    "forget_tokens": found.forget_tokens_K,
                    "forget_bytes": found.forget_bytes_K,
                }
            )


def sweep(rule: Rule, thresholds: Sequence[float], scores: PolicyScores) -> Swept:
    """What `decide` with this one policy would count at each threshold in the place of the rule's own.

    Raises ValueError unless the thresholds ascend, lie between 0 and 1, and are at most 255.
    """
    if list(thresholds) != sorted(set(thresholds)) or not 0 < len(thresholds) <= MOST_THRESHOLDS:
        raise ValueError(f"give 1 to {MOST_THRESHOLDS} thresholds in ascending order, each once, not {thresholds}")
    levels = _Levels.of(rule, np.array([grid_threshold(one) for one in thresholds]), scores)
    bytes_KD = levels.sums(scores.byte_offset_T1)
    tokens_KD = levels.sums(np.arange(len(scores.scores_T) + 1))
    looked_D = passes(rule, scores)
    bytes_KD, tokens_KD = bytes_KD * looked_D, tokens_KD * looked_D
    drops_KD = drops(rule, bytes_KD, np.diff(scores.byte_bounds_D1), scores.document_score_D)
    if rule.action == "drop":
        bytes_KD, tokens_KD = bytes_KD * drops_KD, tokens_KD * drops_KD
    return Swept(
        marked_K=((bytes_KD > 0) & ~drops_KD).sum(axis=1),
        dropped_K=drops_KD.sum(axis=1),
        forget_tokens_K=tokens_KD.sum(axis=1),
        forget_bytes_K=bytes_KD.sum(axis=1),
    )


@dataclass(frozen=True, kw_only=True)
class _Levels:
    """Stretches of a batch's D documents, S in all, whose tokens equally many of K thresholds forget."""

    edge_S1: np.ndarray  # int64, in tokens; between two documents lies a stretch of level 0, of no meaning
    cell_S: np.ndarray  # int64: level * D + document; at level k the lowest k thresholds forget it
    shape: tuple[int, int]  # K + 1, D

    @classmethod
    def of(cls, rule: Rule, cuts_K: np.ndarray, scores: PolicyScores) -> "_Levels":
        """The levels under a rule with the ascending grid thresholds `cuts_K`."""
        gap = max(int(rule.min_tokens > 1), rule.bridge_tokens, rule.dilate_tokens)
        documents = len(scores.bounds_D1) - 1
        first_D = scores.bounds_D1[:-1] + gap * np.arange(documents)
        level_P = _apart(_seeded(rule, cuts_K, scores), scores.bounds_D1, gap, lambda level: _shaped(rule, level))
        begins_P = np.zeros(len(level_P) + 1, dtype=bool)
        begins_P[1:-1] = level_P[1:] != level_P[:-1]
        begins_P[first_D] = True
        begins_P[-1] = True
        edge_S1 = np.flatnonzero(begins_P)
        document_S1 = np.repeat(np.arange(documents), np.diff(np.searchsorted(edge_S1, first_D), append=len(edge_S1)))
        return cls(
            edge_S1=np.minimum(edge_S1 - gap * document_S1, len(scores.scores_T)),
            cell_S=level_P[edge_S1[:-1]].astype(np.int64) * documents + document_S1[:-1],
            shape=(len(cuts_K) + 1, documents),
        )

    def sums(self, before_T1: np.ndarray) -> np.ndarray:
        """How much each threshold forgets of each document, int64 [K, D]; `before_T1`: how much lies before a token."""
        sums = np.bincount(self.cell_S, np.diff(before_T1[self.edge_S1]), self.shape[0] * self.shape[1])
        by_level = sums.astype(np.int64).reshape(self.shape)  # of floats that are exact below 2**53
        return np.cumsum(by_level[:0:-1], axis=0)[::-1]


def _seeded(rule: Rule, cuts_K: np.ndarray, scores: PolicyScores) -> np.ndarray:
    """Levels uint8 [T] after thresholds and hysteresis: a run of weak tokens is as high as its highest token."""
    level_of = np.searchsorted(cuts_K, np.arange(256), side="right").astype(np.uint8)
    level_T = np.take(level_of, scores.scores_T)
    low = grid_threshold(rule.low_threshold) if rule.low_threshold else 256
    if low < cuts_K[-1]:  # at lower thresholds hysteresis changes nothing
        weak_T = scores.scores_T >= low
        weak = runs(weak_T, scores.bounds_D1)
        level_T[weak_T] = np.repeat(highest(level_T, weak), weak.end_N - weak.start_N)
    return level_T


def _apart(
    level_T: np.ndarray, bounds_D1: np.ndarray, gap: int, change: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """`change` of levels whose documents are `gap` tokens of level 0 apart, so that no window sees two of them."""
    if not gap:
        return change(level_T)
    end_D = bounds_D1[1:] + gap * np.arange(len(bounds_D1) - 1)
    between = (end_D[:, None] + np.arange(gap)).ravel()
    own_P = np.ones(len(level_T) + len(between), dtype=bool)
    own_P[between] = False
    level_P = np.zeros(len(own_P), dtype=np.uint8)
    level_P[own_P] = level_T
    level_P = change(level_P)
    level_P[between] = 0
    return level_P


def _shaped(rule: Rule, level_P: np.ndarray) -> np.ndarray:
    """Smallest run, bridging and dilation, of all levels at a time."""
    long_P = _grown(_window(level_P, rule.min_tokens, np.minimum), rule.min_tokens)
    bridged_P = _window(_grown(long_P, rule.bridge_tokens + 1), rule.bridge_tokens + 1, np.minimum)
    return _grown(bridged_P, 2 * rule.dilate_tokens + 1)[rule.dilate_tokens : len(level_P) + rule.dilate_tokens]


def _grown(level_P: np.ndarray, width: int) -> np.ndarray:
    """The largest level of the `width` positions that end at each; `width` - 1 more positions than before."""
    if width == 1:
        return level_P
    return _window(np.pad(level_P, width - 1), width, np.maximum)


def _window(level_P: np.ndarray, width: int, extreme: np.ufunc) -> np.ndarray:
    """The extreme of `width` neighbours from each position on, `width` - 1 positions fewer than before."""
    if len(level_P) < width:
        return level_P[:0]
    reached = 1
    while reached < width:
        step = min(reached, width - reached)
        level_P = extreme(level_P[:-step], level_P[step:])
        reached += step
    return level_P
