"""Figures from histograms: by literal values, against counting one by one, and over many histograms at once."""

import numpy as np
import pytest

from tokensieve.pretrain.measuring.histograms import (
    auroc,
    average_precision,
    best_level,
    every_level,
    histograms,
    level_probability,
    operating,
)
from tokensieve.udfs.scores.stored_scores import grid_threshold


def at(*levels: tuple[int, float]) -> np.ndarray:
    """A histogram with so many units at each level."""
    counts_Q = np.zeros(256)
    for level, count in levels:
        counts_Q[level] = count
    return counts_Q


def test_auroc_counts_ties_as_half():
    counts = histograms(np.array([1.0, 0.0, 0.0, -1.0]), np.array([True, True, False, False]), np.array([0, 4]))
    assert auroc(*counts.pooled) == (2 + 1.5) / 4


def test_auroc_agrees_with_counting_all_pairs():
    rng = np.random.default_rng(3)
    logits_T, positive_T = np.round(rng.normal(size=200) * 16) / 16, rng.random(200) < 0.3
    pairs = np.sign(logits_T[positive_T][:, None] - logits_T[~positive_T]) / 2 + 0.5
    counts = histograms(logits_T, positive_T, np.array([0, 90, 200]))
    assert auroc(*counts.pooled) == pytest.approx(pairs.mean(), abs=1e-12)


def test_average_precision_is_the_mean_precision_at_each_positive():
    counts = histograms(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), np.array([0, 3]))
    assert average_precision(*counts.pooled) == pytest.approx((1 + 2 / 3) / 2)


def test_balanced_average_precision_is_that_of_repeated_positives():
    positive_Q, negative_Q = at((200, 2), (90, 1)), at((190, 3), (20, 9))
    repeated = average_precision(4 * positive_Q, negative_Q)
    assert average_precision(positive_Q, negative_Q, 0.5) == pytest.approx(float(repeated))
    assert average_precision(positive_Q, negative_Q, 0.5) > average_precision(positive_Q, negative_Q)


def test_precision_at_another_prevalence_is_reweighted():
    positive_Q, negative_Q = at((100, 20), (200, 80)), at((100, 90), (200, 10))
    balanced, rare = operating(positive_Q, negative_Q, 150, 0.5), operating(positive_Q, negative_Q, 150, 0.01)
    assert (balanced.recall, rare.recall) == (0.8, 0.8)
    assert (balanced.false_positive_rate, rare.false_positive_rate) == (0.1, 0.1)
    assert balanced.precision == pytest.approx(0.8 / 0.9)
    assert balanced.f1 == pytest.approx(2 * 0.8 * (0.8 / 0.9) / (0.8 + 0.8 / 0.9))
    assert rare.precision == pytest.approx(0.008 / (0.008 + 0.099))
    assert best_level(positive_Q, negative_Q) == 101


def test_f1_on_balanced_tokens_is_not_f1_at_the_corpus_s_prevalence():
    # Method A.4: the published code reports the first and applies its threshold where the second holds.
    positive_Q, negative_Q = at((200, 90), (50, 10)), at((200, 50), (50, 950))
    assert operating(positive_Q, negative_Q, 128, 0.5).f1 == pytest.approx(0.9231, abs=1e-4)
    assert operating(positive_Q, negative_Q, 128).f1 == pytest.approx(0.75)


def test_every_level_agrees_with_one_level_at_a_time_and_ends_with_nothing_marked():
    rng = np.random.default_rng(1)
    positive_Q, negative_Q = rng.integers(0, 9, 256).astype(float), rng.integers(0, 9, 256).astype(float)
    all_levels = every_level(positive_Q, negative_Q, 0.2)
    for level in (0, 1, 77, 255):
        one = operating(positive_Q, negative_Q, level, 0.2)
        assert all_levels.f1[level] == pytest.approx(float(one.f1))
        assert all_levels.precision[level] == pytest.approx(float(one.precision))
    assert (all_levels.recall[0], all_levels.recall[256], all_levels.f1[256], all_levels.precision[256]) == (1, 0, 0, 0)


def test_many_histograms_at_once_give_what_each_gives_alone():
    rng = np.random.default_rng(2)
    positive_RQ, negative_RQ = rng.integers(0, 5, (7, 256)).astype(float), rng.integers(0, 5, (7, 256)).astype(float)
    negative_RQ[3] = 0
    assert np.isnan(auroc(positive_RQ, negative_RQ)[3])
    for r in (0, 6):
        assert auroc(positive_RQ, negative_RQ)[r] == auroc(positive_RQ[r], negative_RQ[r])
        assert average_precision(positive_RQ, negative_RQ, 0.3)[r] == pytest.approx(
            float(average_precision(positive_RQ[r], negative_RQ[r], 0.3))
        )
        alone = operating(positive_RQ[r], negative_RQ[r], 99)
        assert operating(positive_RQ, negative_RQ, 99).f1[r] == pytest.approx(float(alone.f1))


def test_unknown_tokens_are_counted_apart():
    logits_T, positive_T = np.array([1.0, 1.0, -1.0]), np.array([True, True, False])
    counts = histograms(logits_T, positive_T, np.array([0, 2, 3]), known_T=np.array([True, False, True]))
    assert [part.sum(axis=1).tolist() for part in (counts.positive_DQ, counts.negative_DQ, counts.unknown_DQ)] == [
        [1, 0], [0, 1], [1, 0],
    ]  # fmt: skip
    assert counts.unknown_DQ[0, 144] == 1


def test_without_a_class_figures_are_undefined_and_not_zero():
    positive_Q, nothing_Q = at((9, 3)), at()
    figures = [auroc(positive_Q, nothing_Q), average_precision(nothing_Q, positive_Q)]
    at_level = operating(positive_Q, nothing_Q, 5)
    assert np.isnan([*figures, at_level.false_positive_rate, at_level.precision]).all()
    assert at_level.recall == 1


def test_a_level_s_probability_is_the_threshold_that_leads_back_to_it():
    assert level_probability(128) == 0.5
    assert [grid_threshold(level_probability(level)) for level in range(257)] == list(range(257))
