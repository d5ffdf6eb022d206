"""The histogram: every count is drawn once, and the threshold stands where the grid says."""

import re

import numpy as np
import pytest

from tokensieve.jobs.pages.charts import histogram, probability


def counts(**at: int) -> np.ndarray:
    found_B = np.zeros(256, dtype=np.int64)
    for place, count in at.items():
        found_B[int(place[1:])] = count
    return found_B


def test_every_bar_says_its_probability_and_its_count():
    svg = histogram(counts(q64=90, q128=7, q192=3), what="tokens", threshold=0.5)
    assert re.findall(r"<title>(.*?)</title>", svg) == [
        "probability 0.0180: 90 tokens",
        "probability 0.5000: 7 tokens",
        "probability 0.9820: 3 tokens",
    ]
    assert re.findall(r'<rect class="(.*?)"', svg) == ["bar", "bar over", "bar over"]
    assert "threshold 0.5: 10.00% of tokens at or above" in svg


def test_bars_may_share_grid_values():
    svg = histogram(counts(q0=1, q3=2, q4=5), what="documents", threshold=None, bin_width=4)
    assert [int(n) for n in re.findall(r"(\d+) documents</title>", svg)] == [3, 5]
    assert "threshold" not in svg


def test_no_score_at_all_still_gives_a_picture():
    assert "no tokens at or above" in histogram(counts(), what="tokens", threshold=0.3)


@pytest.mark.parametrize(("grid", "expected"), [(0, 0.000335), (128, 0.5), (255, 0.999643)])
def test_places_on_the_grid_are_probabilities(grid, expected):
    assert probability(grid) == pytest.approx(expected, abs=1e-6)
