"""AUROC, average precision, precision, recall and F1 from score histograms per document, on the stored grid.

A histogram per document and class makes every figure, every threshold and every bootstrap over documents a sum over
256 numbers; all functions take [..., 256], so a thousand draws are one call. What is traded away is resolution beyond
the stored grid, which no later decision has either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.udfs.scores.stored_scores import GRID_STEP, GRID_ZERO, quantize_logits

LEVELS = 256


@dataclass(frozen=True, kw_only=True)
class Histograms:
    """int64 [D, 256]: how many units of each document have each grid score: forget, retain, and of unknown label."""

    positive_DQ: np.ndarray
    negative_DQ: np.ndarray
    unknown_DQ: np.ndarray

    def __len__(self) -> int:
        return len(self.positive_DQ)

    @property
    def pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """Both known classes summed over the documents, float64 [256] each."""
        return self.positive_DQ.sum(axis=0).astype(float), self.negative_DQ.sum(axis=0).astype(float)

    def where(self, mask_D: np.ndarray) -> "Histograms":
        """The documents of a bool mask or of an index array."""
        return Histograms(
            positive_DQ=self.positive_DQ[mask_D],
            negative_DQ=self.negative_DQ[mask_D],
            unknown_DQ=self.unknown_DQ[mask_D],
        )

    def without(self, *, positive_D: np.ndarray, negative_D: np.ndarray) -> "Histograms":
        """Makes the positive (negative) units of the masked documents unknown."""
        positive_DQ, negative_DQ = self.positive_DQ * positive_D[:, None], self.negative_DQ * negative_D[:, None]
        return Histograms(
            positive_DQ=self.positive_DQ - positive_DQ,
            negative_DQ=self.negative_DQ - negative_DQ,
            unknown_DQ=self.unknown_DQ + positive_DQ + negative_DQ,
        )


def histograms(
    logits_T: np.ndarray, positive_T: np.ndarray, bounds_D1: np.ndarray, known_T: np.ndarray | None = None
) -> Histograms:
    """Histograms of D documents whose units (tokens) have the given logits and bool labels (None: all are known)."""
    return level_histograms(quantize_logits(logits_T), positive_T, bounds_D1, known_T)


def level_histograms(
    levels_T: np.ndarray, positive_T: np.ndarray, bounds_D1: np.ndarray, known_T: np.ndarray | None = None
) -> Histograms:
    """`histograms` of uint8 grid scores."""
    documents = len(bounds_D1) - 1
    known_T = np.ones(len(levels_T), dtype=bool) if known_T is None else known_T
    cell_T = np.repeat(np.arange(documents), np.diff(bounds_D1)) * LEVELS + levels_T
    parts = [
        np.bincount(cell_T[part_T], minlength=documents * LEVELS).reshape(documents, LEVELS)
        for part_T in (known_T & positive_T, known_T & ~positive_T, ~known_T)
    ]
    return Histograms(positive_DQ=parts[0], negative_DQ=parts[1], unknown_DQ=parts[2])


def joined(parts: Sequence[Histograms]) -> Histograms:
    """Documents end to end."""
    return Histograms(
        positive_DQ=np.concatenate([part.positive_DQ for part in parts]),
        negative_DQ=np.concatenate([part.negative_DQ for part in parts]),
        unknown_DQ=np.concatenate([part.unknown_DQ for part in parts]),
    )


def auroc(positive_Q: np.ndarray, negative_Q: np.ndarray) -> np.ndarray:
    """Chance that a positive unit scores above a negative one, ties counting half; NaN without one of the classes."""
    below_Q = np.cumsum(negative_Q, axis=-1) - negative_Q / 2
    return _ratio((positive_Q * below_Q).sum(axis=-1), positive_Q.sum(axis=-1) * negative_Q.sum(axis=-1))


def average_precision(positive_Q: np.ndarray, negative_Q: np.ndarray, prevalence: float | None = None) -> np.ndarray:
    """Area under the precision-recall steps (mean precision at the rank of each positive), ties taken together.

    `prevalence` is the share of positives to reweight to (None: as counted). NaN without one of the classes.
    """
    positives, negatives = positive_Q.sum(axis=-1), negative_Q.sum(axis=-1)
    share = _share(positives, negatives, prevalence)
    hits_Q = share[..., None] * _ratio(_at_or_above(positive_Q), positives[..., None])
    false_Q = (1 - share[..., None]) * _ratio(_at_or_above(negative_Q), negatives[..., None])
    precision_Q = _ratio(hits_Q, hits_Q + false_Q, empty=0.0)
    return _ratio((positive_Q * precision_Q).sum(axis=-1), positives)


@dataclass(frozen=True, kw_only=True)
class Operating:
    """What a threshold does at a given share of positives; arrays of one shape.

    Attributes:
        precision: of the marked units (0 where nothing is marked). recall: marked share of the positives.
        f1: their harmonic mean. false_positive_rate: marked share of the negatives.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    false_positive_rate: np.ndarray


def operating(positive_Q: np.ndarray, negative_Q: np.ndarray, level: int, prevalence: float | None = None) -> Operating:
    """The rule `grid score >= level` for [..., 256], reweighted to a prevalence (None: as counted)."""
    positives, negatives = positive_Q.sum(axis=-1), negative_Q.sum(axis=-1)
    hit = _ratio(positive_Q[..., level:].sum(axis=-1), positives)
    false = _ratio(negative_Q[..., level:].sum(axis=-1), negatives)
    return _operating(hit, false, _share(positives, negatives, prevalence))


def every_level(positive_Q: np.ndarray, negative_Q: np.ndarray, prevalence: float | None = None) -> Operating:
    """`operating` of one pair of histograms at the levels 0 to 256 (nothing is marked): arrays [257]."""
    positives, negatives = positive_Q.sum(axis=-1), negative_Q.sum(axis=-1)
    hit_L, false_L = (np.append(_ratio(_at_or_above(q), q.sum()), 0.0) for q in (positive_Q, negative_Q))
    return _operating(hit_L, false_L, _share(positives, negatives, prevalence))


def best_level(positive_Q: np.ndarray, negative_Q: np.ndarray, prevalence: float | None = 0.5) -> int:
    """The grid level with the highest F1 at the prevalence (None: as counted); the lowest of several."""
    return int(np.argmax(every_level(positive_Q, negative_Q, prevalence).f1[:LEVELS]))


def level_probability(level: int) -> float:
    """The probability that a grid level stands for; level 256, above all scores, gets one above all of theirs."""
    return float(1 / (1 + np.exp(-(level - GRID_ZERO) * GRID_STEP)))


def _operating(hit: np.ndarray, false: np.ndarray, share: np.ndarray) -> Operating:
    marked = share * hit + (1 - share) * false
    precision = np.where(np.isnan(marked), np.nan, _ratio(share * hit, marked, empty=0.0))
    f1 = _ratio(2 * precision * hit, precision + hit, empty=0.0)
    return Operating(precision=precision, recall=hit, f1=f1, false_positive_rate=false)


def _share(positives: np.ndarray, negatives: np.ndarray, prevalence: float | None) -> np.ndarray:
    if prevalence is None:
        return _ratio(positives, positives + negatives)
    return np.full(np.shape(positives), prevalence)


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """part / whole, and `empty` where whole is 0."""
    part, whole = np.asarray(part, dtype=float), np.asarray(whole, dtype=float)
    return np.where(whole == 0, empty, part / np.where(whole == 0, 1, whole))


def _at_or_above(counts_Q: np.ndarray) -> np.ndarray:
    return np.cumsum(counts_Q[..., ::-1], axis=-1)[..., ::-1]
