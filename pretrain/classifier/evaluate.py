"""AUROC, average precision and F1 from score histograms per document, on the grid that scoring jobs store.

A histogram per document and class makes every figure, every threshold and every bootstrap over documents a sum over
256 numbers. What is traded away is resolution beyond the stored grid, which no later decision has either.
"""

from dataclasses import dataclass

import numpy as np

from udfs.scores import GRID_STEP, GRID_ZERO, quantize_logits

_LEVELS = 256


@dataclass(frozen=True, kw_only=True)
class Histograms:
    """int64 [D, 256]: how many positive and negative units of each document have each grid score."""

    positive_DQ: np.ndarray
    negative_DQ: np.ndarray

    @property
    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """Both classes summed over the documents, float64 [256] each."""
        return self.positive_DQ.sum(axis=0).astype(float), self.negative_DQ.sum(axis=0).astype(float)

    def where(self, mask_D: np.ndarray) -> "Histograms":
        """The documents of a bool mask or of an index array."""
        return Histograms(positive_DQ=self.positive_DQ[mask_D], negative_DQ=self.negative_DQ[mask_D])


def histograms(logits_T: np.ndarray, positive_T: np.ndarray, bounds_D1: np.ndarray) -> Histograms:
    """Histograms of D documents whose units (tokens) have the given logits and bool labels."""
    documents = len(bounds_D1) - 1
    cell_T = np.repeat(np.arange(documents), np.diff(bounds_D1)) * _LEVELS + quantize_logits(logits_T)
    counts = [np.bincount(cell_T[part], minlength=documents * _LEVELS) for part in (positive_T, ~positive_T)]
    positive, negative = (count.reshape(documents, _LEVELS).astype(np.int64) for count in counts)
    return Histograms(positive_DQ=positive, negative_DQ=negative)


def auroc(positive_Q: np.ndarray, negative_Q: np.ndarray) -> float:
    """Chance that a positive unit scores above a negative one, ties counting half; NaN without one of the classes."""
    below_Q = np.cumsum(negative_Q) - negative_Q / 2
    pairs = positive_Q.sum() * negative_Q.sum()
    return float(positive_Q @ below_Q / pairs) if pairs else float("nan")


def average_precision(positive_Q: np.ndarray, negative_Q: np.ndarray) -> float:
    """Area under the precision-recall steps (mean precision at the rank of each positive), ties taken together."""
    hits_Q, all_Q = _at_or_above(positive_Q), _at_or_above(positive_Q + negative_Q)
    return float((positive_Q * hits_Q / np.maximum(all_Q, 1e-12)).sum() / positive_Q.sum())


@dataclass(frozen=True, kw_only=True)
class Operating:
    """Precision, recall and F1 of "score >= threshold" at a given share of positives."""

    precision: float
    recall: float
    f1: float


def operating(positive_Q: np.ndarray, negative_Q: np.ndarray, level: int, prevalence: float | None = None) -> Operating:
    """The rule `grid score >= level`, reweighted to a prevalence (None: as counted)."""
    hit = positive_Q[level:].sum() / positive_Q.sum()
    false = negative_Q[level:].sum() / negative_Q.sum()
    share = positive_Q.sum() / (positive_Q.sum() + negative_Q.sum()) if prevalence is None else prevalence
    marked = share * hit + (1 - share) * false
    precision = share * hit / marked if marked else 0.0
    total = precision + hit
    f1 = 2 * precision * hit / total if total else 0.0
    return Operating(precision=float(precision), recall=float(hit), f1=float(f1))


def best_level(positive_Q: np.ndarray, negative_Q: np.ndarray, prevalence: float | None = 0.5) -> int:
    """The grid level with the highest F1 at the prevalence; the lowest of several."""
    scores = [operating(positive_Q, negative_Q, level, prevalence).f1 for level in range(_LEVELS)]
    return int(np.argmax(scores))


def level_probability(level: int) -> float:
    """The probability that a grid level stands for."""
    return float(1 / (1 + np.exp(-(level - GRID_ZERO) * GRID_STEP)))


def auroc_interval(counts: Histograms, seed: int, draws: int = 1000) -> tuple[float, float]:
    """95 % percentile interval of the AUROC over documents drawn with replacement."""
    rng = np.random.default_rng(seed)
    documents = len(counts.positive_DQ)
    weights_RD = rng.multinomial(documents, np.full(documents, 1 / documents), size=draws).astype(float)
    positive_RQ, negative_RQ = weights_RD @ counts.positive_DQ, weights_RD @ counts.negative_DQ
    values = [auroc(p, n) for p, n in zip(positive_RQ, negative_RQ, strict=True) if p.sum() and n.sum()]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _at_or_above(counts_Q: np.ndarray) -> np.ndarray:
    return np.cumsum(counts_Q[::-1])[::-1]
