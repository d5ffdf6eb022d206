"""Intervals over documents: do they cover, are they paired, when are they withheld."""

import numpy as np
import pytest

from tokensieve.pretrain.measuring.bootstrap import Draws, Estimate
from tokensieve.pretrain.measuring.histograms import auroc, histograms


def share(draws: Draws, values_D: np.ndarray) -> Estimate:
    """The mean of a figure per document."""
    return draws.estimate(values_D.mean(), draws.sums(values_D[:, None])[:, 0] / len(values_D))


def test_draws_are_documents_with_replacement_and_repeat_themselves():
    first, again, other = Draws.of(40, seed=1), Draws.of(40, seed=1), Draws.of(40, seed=2)
    assert first.weights_RD.shape == (1000, 40)
    assert (first.weights_RD.sum(axis=1) == 40).all()
    assert (first.weights_RD == again.weights_RD).all()
    assert (first.weights_RD != other.weights_RD).any()


def test_sums_over_blocks_are_the_sums_over_all_documents():
    rng = np.random.default_rng(0)
    draws, counts_DK = Draws.of(5000, seed=3, draws=4), rng.integers(0, 9, (5000, 3))
    assert (draws.sums(counts_DK) == draws.weights_RD.astype(int) @ counts_DK).all()


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(5)
    held = 0
    for seed in range(300):
        found = share(Draws.of(60, seed, draws=300), rng.exponential(size=60))
        held += found.low < 1.0 < found.high  # type: ignore[operator]
    # The percentile interval of a skewed mean of 60 covers a little less than 95 %.
    assert 0.88 < held / 300 < 0.98


def test_tokens_of_one_document_do_not_narrow_the_interval():
    rng = np.random.default_rng(4)
    logits_D, positive_D = rng.normal(size=60) + np.arange(60) % 2, np.arange(60) % 2 == 1
    widths = []
    for tokens in (1, 50):
        counts = histograms(np.repeat(logits_D, tokens), np.repeat(positive_D, tokens), np.arange(61) * tokens)
        draws = Draws.of(60, seed=0)
        found = draws.estimate(
            auroc(*counts.pooled), auroc(draws.sums(counts.positive_DQ), draws.sums(counts.negative_DQ))
        )
        widths.append(found.high - found.low)  # type: ignore[operator]
    assert widths[0] == pytest.approx(widths[1])


def test_a_paired_difference_is_certain_where_two_separate_intervals_overlap():
    rng = np.random.default_rng(6)
    hard_D = rng.normal(size=80)  # what is hard about a document is hard for both
    better_D, worse_D = hard_D + 0.05, hard_D + 0.01 * rng.normal(size=80)
    draws = Draws.of(80, seed=0)
    better, worse, difference = share(draws, better_D), share(draws, worse_D), share(draws, better_D - worse_D)
    assert better.low < worse.high  # type: ignore[operator]
    assert difference.excludes_zero
    assert difference.low > 0.03  # type: ignore[operator]


def test_too_few_documents_or_too_few_defined_draws_give_no_interval():
    assert share(Draws.of(4, seed=0), np.ones(4)) == Estimate(value=1.0)
    assert share(Draws.of(5, seed=0), np.ones(5)) == Estimate(value=1.0, low=1.0, high=1.0)
    draws = Draws.of(10, seed=0, draws=4)
    assert draws.estimate(0.5, np.array([np.nan, np.nan, np.nan, 0.5])) == Estimate(value=0.5)
    assert draws.estimate(np.nan, np.full(4, 0.5)) == Estimate(value=None)


def test_an_interval_that_touches_zero_does_not_exclude_it():
    assert Estimate(value=0.1, low=0.01, high=0.2).excludes_zero
    assert Estimate(value=-0.1, low=-0.2, high=-0.01).excludes_zero
    assert not Estimate(value=0.1, low=0.0, high=0.2).excludes_zero
    assert not Estimate(value=0.1).excludes_zero


def test_a_figure_reads_as_text():
    assert Estimate(value=0.98765, low=0.9, high=1.0).text() == "0.988 [0.900, 1.000]"
    assert Estimate(value=0.98765).text(2) == "0.99"
    assert Estimate(value=None).text() == "undecided"
