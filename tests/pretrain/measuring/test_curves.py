"""Reliability of classifiers that are honest, too sure, or biased; sweeps over thresholds."""

import numpy as np
import pytest

from tokensieve.pretrain.measuring.curves import reliability, sweep
from tokensieve.pretrain.measuring.histograms import Histograms, histograms


def labelled_as_scored(shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> Histograms:
    """200 documents of 50 tokens whose labels are drawn from a logit; the scores are `scale * logit + shift`."""
    rng = np.random.default_rng(seed)
    logits_T = np.clip(rng.normal(0, 2, 10_000), -7, 7)
    positive_T = rng.random(10_000) < 1 / (1 + np.exp(-logits_T))
    return histograms(scale * logits_T + shift, positive_T, np.arange(201) * 50)


def test_an_honest_classifier_lies_on_the_diagonal():
    found = reliability("token", labelled_as_scored(), seed=0)
    for one in found.bins:
        if one.units >= 100:
            assert one.observed.value == pytest.approx(one.predicted, abs=0.06)
    assert (found.expected_calibration_error.value or 1) < 0.02
    assert sum(one.units for one in found.bins) == 10_000


def test_a_biased_classifier_is_seen_on_one_side_of_the_diagonal():
    found = reliability("token", labelled_as_scored(shift=1.5), seed=0)
    for one in found.bins:
        if 0.1 < one.predicted < 0.95:
            assert one.observed.high < one.predicted  # type: ignore[operator]
    assert found.expected_calibration_error.low > 0.1  # type: ignore[operator]


def test_a_classifier_that_is_too_sure_errs_towards_the_middle_at_both_ends():
    found = reliability("token", labelled_as_scored(scale=3.0), seed=0)
    assert found.bins[0].observed.low > found.bins[0].predicted  # type: ignore[operator]
    assert found.bins[-1].observed.high < found.bins[-1].predicted  # type: ignore[operator]


def test_the_error_of_two_bins_by_hand():
    # Level 136 (probability 0.622) with 3 of 4 positive, level 120 (0.378) with 1 of 6: |3 - 2.49| + |1 - 2.27| of 10.
    counts = histograms(
        np.array([0.5] * 4 + [-0.5] * 6), np.array([True] * 3 + [False] + [True] + [False] * 5), np.array([0, 10])
    )
    found = reliability("token", counts, seed=0)
    p = 1 / (1 + np.exp(-0.5))
    assert [(one.units, one.predicted) for one in found.bins] == [
        (6, pytest.approx(1 - p)), (4, pytest.approx(p)),
    ]  # fmt: skip
    assert found.expected_calibration_error.value == pytest.approx((abs(3 - 4 * p) + abs(1 - 6 * (1 - p))) / 10)


def test_a_sweep_begins_with_everything_marked_and_ends_with_nothing():
    found = sweep("token", labelled_as_scored(), None)
    assert [len(values) for values in (found.threshold, found.marked, found.recall, found.f1)] == [257] * 4
    assert (found.marked[0], found.recall[0], found.marked[256], found.recall[256]) == (1, 1, 0, 0)
    assert found.marked == sorted(found.marked, reverse=True)


def test_the_papers_shares_are_met_where_the_grid_allows():
    found = sweep("token", labelled_as_scored(), None)
    assert [one.wanted for one in found.shares] == [0.5, 0.25, 0.125, 0.0625, 0.03125]
    for one in found.shares:
        assert one.marked == pytest.approx(one.wanted, rel=0.1)
    two_values = histograms(np.array([1.0, -1.0] * 10), np.array([True, False] * 10), np.array([0, 20]))
    half, quarter, *_ = sweep("token", two_values, None).shares
    assert half.marked == 0.5
    assert (quarter.threshold, quarter.marked) == (None, None)
