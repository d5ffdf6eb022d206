"""Have scores drifted? Two counts of documents on the logit grid, compared by a test and by the size of the difference.

The two-sample Kolmogorov-Smirnov test says whether chance could do it. With many documents it rejects any difference,
and documents of one file resemble each other; so the verdict rests on the population stability index, a size of effect.
"""

import math
from collections.abc import Sequence

import numpy as np

from tokensieve.jobs.config.refresh import DriftConfig
from tokensieve.jobs.releases.release_report import Difference, Verdict

PSI_BINS = 16  # of one logit each: the grid of 256 values is too fine for an index that sums over bins
Histogram = Sequence[int] | np.ndarray


def compare(before_B: Histogram, after_B: Histogram) -> Difference:
    """Two histograms on the grid, int [256] each, compared. Exchanging them changes the sides' counts alone."""
    old_B, new_B = np.asarray(before_B, dtype=np.int64), np.asarray(after_B, dtype=np.int64)
    before, after = int(old_B.sum()), int(new_B.sum())
    if not before or not after:
        return Difference(before=before, after=after)
    distance = ks_distance(old_B, new_B)
    return Difference(
        before=before,
        after=after,
        ks=distance,
        p_value=kolmogorov(distance * math.sqrt(before * after / (before + after))),
        psi=stability_index(old_B, new_B),
    )


def judge(difference: Difference, config: DriftConfig) -> Verdict:
    """What a difference amounts to."""
    if not difference.after:
        return "nothing_new"
    if not difference.before:
        return "no_reference"
    if min(difference.before, difference.after) < config.min_documents or difference.psi is None:
        return "too_few"
    return "alarm" if difference.psi > config.alarm else "warn" if difference.psi > config.warn else "steady"


def ks_distance(before_B: np.ndarray, after_B: np.ndarray) -> float:
    """The Kolmogorov-Smirnov statistic of two histograms over the same bins, both with at least one document."""
    return float(np.abs(before_B.cumsum() / before_B.sum() - after_B.cumsum() / after_B.sum()).max())


def kolmogorov(scaled: float) -> float:
    """The chance that the Kolmogorov distribution exceeds a distance times the root of the effective sample size.

    Below 0.1 it is 1 to more digits than a float has, and the series converges slowly.
    """
    if scaled < 0.1:
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * math.fsum(terms)))


def stability_index(before_B: np.ndarray, after_B: np.ndarray) -> float:
    """The population stability index: sum over bins of (q - p) ln(q / p), p and q being shares.

    Bins that are empty on both sides say nothing; one that is empty on one side counts as half a document there, so
    that the index stays finite.
    """
    old_N, new_N = (counts_B.reshape(PSI_BINS, -1).sum(axis=1) for counts_B in (before_B, after_B))
    seen_N = (old_N + new_N) > 0
    p_N, q_N = (np.maximum(counts_N[seen_N], 0.5) / counts_N.sum() for counts_N in (old_N, new_N))
    return float(np.sum((q_N - p_N) * np.log(q_N / p_N)))
