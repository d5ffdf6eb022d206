"""The statistics against scipy, by literal values and by what must hold for any two distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tokensieve.jobs.config.refresh import DriftConfig
from tokensieve.jobs.refreshing.drift import compare, judge, kolmogorov, stability_index
from tokensieve.jobs.releases.release_report import Difference

stats = pytest.importorskip("scipy.stats", reason="scipy is the reference")
CONFIG = DriftConfig()


def histogram(**at: int) -> list[int]:
    """Counts on the grid: `q130=7` are seven documents at grid value 130."""
    counts_B = [0] * 256
    for place, count in at.items():
        counts_B[int(place[1:])] = count
    return counts_B


histograms = st.lists(st.integers(0, 40), min_size=256, max_size=256).filter(any)


def test_figures_of_two_small_distributions():
    found = compare(histogram(q8=60, q136=30, q248=10), histogram(q8=30, q136=30, q248=40))
    assert (found.before, found.after) == (100, 100)
    assert found.ks == pytest.approx(0.3)
    # scipy.stats.kstwobign.sf(0.3 * sqrt(50))
    assert found.p_value == pytest.approx(0.00024682, abs=1e-8)
    # (0.3 - 0.6) ln(0.3 / 0.6) + (0.4 - 0.1) ln(0.4 / 0.1), the middle bin is the same
    assert found.psi == pytest.approx(0.20794 + 0.41589, abs=1e-5)


def test_a_bin_that_is_empty_on_one_side_counts_as_half_a_document_there():
    assert stability_index(np.array(histogram(q0=100)), np.array(histogram(q0=90, q255=10))) == pytest.approx(
        (0.9 - 1) * np.log(0.9) + (0.1 - 0.005) * np.log(0.1 / 0.005)
    )


def test_scores_that_move_within_a_logit_are_no_drift_of_the_index_but_are_a_distance():
    found = compare(histogram(q128=1000), histogram(q140=1000))
    assert (found.psi, found.ks) == (0, 1)


@pytest.mark.parametrize("scaled", [0.0, 0.05, 0.1, 0.11, 0.3, 0.5, 0.8276, 1.0, 1.3581, 1.6276, 3.0, 6.0])
def test_the_kolmogorov_distribution_is_scipys(scaled):
    assert kolmogorov(scaled) == pytest.approx(stats.kstwobign.sf(scaled), rel=1e-9, abs=1e-15)


@given(histograms, histograms)
def test_distance_and_p_value_are_scipys(before_B, after_B):
    grid_B = np.arange(256)
    expected = stats.ks_2samp(np.repeat(grid_B, before_B), np.repeat(grid_B, after_B), method="asymp").statistic
    found = compare(before_B, after_B)
    assert found.ks == pytest.approx(expected)
    effective = sum(before_B) * sum(after_B) / (sum(before_B) + sum(after_B))
    assert found.p_value == pytest.approx(stats.kstwobign.sf(np.sqrt(effective) * expected), abs=1e-9)


@given(histograms, st.integers(1, 1000))
def test_equal_shares_are_no_difference(counts_B, times):
    found = compare(counts_B, [count * times for count in counts_B])
    assert found.ks == pytest.approx(0, abs=1e-12)
    assert found.psi == pytest.approx(0, abs=1e-9)
    assert found.p_value == 1


@given(histograms, histograms)
def test_exchanging_the_sides_changes_nothing_but_their_counts(one_B, other_B):
    there, back = compare(one_B, other_B), compare(other_B, one_B)
    assert (there.before, there.after) == (back.after, back.before)
    assert there.ks == pytest.approx(back.ks)
    assert there.p_value == pytest.approx(back.p_value, abs=1e-12)
    assert there.psi == pytest.approx(back.psi)
    assert there.psi is not None
    assert there.psi >= 0


@pytest.mark.parametrize(
    ("before", "after", "psi", "verdict"),
    [
        (500, 500, 0.0999, "steady"),
        (500, 500, 0.1001, "warn"),
        (500, 500, 0.2501, "alarm"),
        (10**9, 499, 5.0, "too_few"),
        (499, 10**9, 5.0, "too_few"),
        (0, 5000, None, "no_reference"),
        (5000, 0, None, "nothing_new"),
    ],
)
def test_the_verdict_is_the_size_of_the_difference_where_there_are_documents_enough(before, after, psi, verdict):
    assert judge(Difference(before=before, after=after, psi=psi), CONFIG) == verdict


def test_samples_of_one_distribution_are_steady_and_a_moved_one_is_an_alarm():
    draw = np.random.default_rng(7)

    def sample(mean: float, size: int) -> np.ndarray:
        return np.bincount(np.clip(np.rint(draw.normal(mean, 40, size)), 0, 255).astype(int), minlength=256)

    reference = sample(90, 50_000)
    assert [judge(compare(reference, sample(90, 500)), CONFIG) for _ in range(40)] == ["steady"] * 40
    assert judge(compare(reference, sample(110, 500)), CONFIG) == "alarm"


def test_a_large_sample_rejects_what_the_index_calls_steady():
    """Why the verdict is not the test's."""
    found = compare(histogram(q40=500_000, q200=500_000), histogram(q40=510_000, q200=490_000))
    assert found.p_value is not None
    assert found.p_value < 1e-40
    assert judge(found, CONFIG) == "steady"


def test_an_alarm_below_the_warning_is_refused():
    with pytest.raises(ValidationError, match=r"alarm 0\.05 is below warn 0\.1"):
        DriftConfig(alarm=0.05)
