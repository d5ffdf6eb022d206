"""Two curves of the classifier alone: does a probability mean what it says, and what does each threshold do.

Bins are stretches of the logit grid of equal width, not of the probability: nearly all scores of a corpus lie close to
0 or 1, where bins of equal probability would hold everything in two of them.
"""

import numpy as np

from tokensieve.pretrain.errors import Unreachable
from tokensieve.pretrain.measuring.bootstrap import DRAWS, Draws
from tokensieve.pretrain.measuring.goals import Goal, Units, choose
from tokensieve.pretrain.measuring.histograms import LEVELS, Histograms, every_level, level_probability
from tokensieve.pretrain.measuring.schema import Reliability, ReliabilityBin, SharePoint, Sweep, Unit

BIN_LEVELS = 16  # one logit
SHARES = (0.5, 0.25, 0.125, 0.0625, 0.03125)  # of the threshold sweep in arXiv 2601.21571
_PROBABILITY_Q = np.array([level_probability(level) for level in range(LEVELS)])


def reliability(unit: Unit, counts: Histograms, seed: int, draws: int = DRAWS) -> Reliability:
    """Predicted probability against observed share, at the prevalence of the documents; empty bins are left out.

    The expected calibration error is the mean over the units of the distance between their bin's two values.
    """
    drawn = Draws.of(len(counts), seed, draws)
    positive_B, all_B, predicted_B = _binned(*counts.pooled)
    positive_RB, all_RB, predicted_RB = _binned(drawn.sums(counts.positive_DQ), drawn.sums(counts.negative_DQ))
    bins = []
    for at in np.flatnonzero(all_B).tolist():
        observed_R = _divide(positive_RB[:, at], all_RB[:, at])
        bins.append(
            ReliabilityBin(
                low=level_probability(at * BIN_LEVELS),
                high=level_probability((at + 1) * BIN_LEVELS - 1),
                units=int(all_B[at]),
                predicted=float(predicted_B[at] / all_B[at]),
                observed=drawn.estimate(positive_B[at] / all_B[at], observed_R),
            )
        )
    error, error_R = _error(positive_B, all_B, predicted_B), _error(positive_RB, all_RB, predicted_RB)
    return Reliability(unit=unit, bins=bins, expected_calibration_error=drawn.estimate(error, error_R))


def sweep(unit: Unit, counts: Histograms, prevalence: float | None) -> Sweep:
    """What every threshold does. The set must have both classes."""
    natural, balanced = every_level(*counts.pooled, prevalence), every_level(*counts.pooled, 0.5)
    units = Units(counts=counts, domains=np.full(len(counts), "", dtype=object))
    return Sweep(
        unit=unit,
        threshold=[level_probability(level) for level in range(LEVELS + 1)],
        marked=units.marked_L.tolist(),
        recall=natural.recall.tolist(),
        false_positive_rate=natural.false_positive_rate.tolist(),
        precision=natural.precision.tolist(),
        f1=natural.f1.tolist(),
        balanced_f1=balanced.f1.tolist(),
        shares=[_share_point(units, natural.precision, share) for share in SHARES],
    )


def _share_point(units: Units, precision_L: np.ndarray, share: float) -> SharePoint:
    try:
        level = choose(Goal(share=share), units).level
    except Unreachable:
        return SharePoint(wanted=share, threshold=None, marked=None, recall=None, precision=None)
    return SharePoint(
        wanted=share,
        threshold=level_probability(level),
        marked=float(units.marked_L[level]),
        recall=float(units.recall_L[level]),
        precision=float(precision_L[level]),
    )


def _binned(positive_Q: np.ndarray, negative_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positives, all units, and the sum of their probabilities by bin: [..., 16] each."""
    all_Q = positive_Q + negative_Q
    shape = (*all_Q.shape[:-1], LEVELS // BIN_LEVELS, BIN_LEVELS)
    positive_B, all_B, sum_B = (q.reshape(shape).sum(axis=-1) for q in (positive_Q, all_Q, all_Q * _PROBABILITY_Q))
    return positive_B, all_B, sum_B


def _error(positive_B: np.ndarray, all_B: np.ndarray, predicted_B: np.ndarray) -> np.ndarray:
    return _divide(np.abs(positive_B - predicted_B).sum(axis=-1), all_B.sum(axis=-1))


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
