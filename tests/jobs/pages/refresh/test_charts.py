"""The pictures: every bar says both shares, and a point stands where its value is."""

import re
from datetime import UTC, datetime

from tests.jobs.refreshing.test_drift import histogram
from tokensieve.jobs.pages.refresh.charts import history, overlay
from tokensieve.jobs.releases.release_report import Point


def test_two_distributions_are_drawn_as_shares():
    svg = overlay(histogram(q128=300, q192=100), histogram(q130=1, q0=1), before="earlier", after="this release")
    assert re.findall(r"<title>(.*?)</title>", svg) == [
        "score 0.0003 to 0.0004: 0.00% of earlier, 50.00% of this release",
        "score 0.5000 to 0.5467: 75.00% of earlier, 50.00% of this release",
        "score 0.9820 to 0.9850: 25.00% of earlier, 0.00% of this release",
    ]
    heights = [float(height) for height in re.findall(r'<rect class="bar"[^>]*height="([\d.]+)"', svg)]
    assert heights == [0, 130, 43.33]  # the highest share fills the picture
    assert len(re.findall(r"[\d.]+,[\d.]+", svg)) == 128  # the line has two ends for each of 64 bars


def test_an_empty_side_is_a_flat_line():
    assert "0.00% of this release" in overlay(histogram(q5=1), [0] * 256, before="earlier", after="this release")


def test_a_policy_that_came_later_begins_later():
    made_at = datetime(2026, 11, 22, tzinfo=UTC)
    points = [
        Point(release=1, made_at=made_at, documents=50, forget_share={"a": 0.5}),
        Point(release=2, made_at=made_at, documents=100, forget_share={"a": 1.0, "b": 0.0}),
    ]
    lines = re.findall(r'<polyline class="line (\w+)" points="([^"]*)"', history(points))
    assert lines == [("s0", "302.0,80.0 762.0,22.0"), ("s1", "762.0,138.0")]


def test_no_forget_text_at_all_still_gives_a_picture():
    point = Point(release=1, made_at=datetime(2026, 11, 22, tzinfo=UTC), documents=0, forget_share={"a": 0.0})
    assert "0.000% of the bytes for a" in history([point])
