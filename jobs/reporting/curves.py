"""Inline SVG of curves: what each threshold does, and predicted against observed. As in `chart`: no library, no script.

Every curve has its own dashes as well as its colour, and its name stands in a legend of text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.reporting.chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, grid_x, probability_axis

SIDE = 300  # of the square picture
_MARGIN = 34


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A named curve over the thresholds of the grid: a share at each level from 0 on. `name` is plain text of ours."""

    name: str
    kind: str  # the class of the style sheet
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Point:
    """Predicted and observed share, the interval of the observed one, and how many units stand behind it."""

    predicted: float
    observed: float
    low: float
    high: float
    units: int


def sweep_chart(curves: Sequence[Curve], threshold: float, level: int) -> str:
    """Curves over the logit grid, with a line at the threshold in force."""
    base, height = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = round(base - height * share, 2)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - 8}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{share:g}</text>')
    parts += probability_axis("share of units")
    for curve in curves:
        places = " ".join(f"{grid_x(at)},{round(base - height * v, 2)}" for at, v in enumerate(curve.values))
        parts.append(f'<polyline class="curve {curve.kind}" points="{places}"><title>{curve.name}</title></polyline>')
    x = grid_x(level)
    parts.append(f'<line class="threshold" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{base}"/>')
    at = min(max(x, LEFT + 50), WIDTH - 50)
    parts.append(f'<text class="note" x="{at}" y="12" text-anchor="middle">threshold {threshold:.4g}</text>')
    return _svg(WIDTH, HEIGHT, "Figures at every threshold: " + ", ".join(curve.name for curve in curves), parts)


def legend(curves: Sequence[Curve]) -> str:
    """The names of the curves, each beside a piece of its line."""
    lines = [
        f'<span><svg class="key" viewBox="0 0 34 10"><line class="curve {curve.kind}" x1="1" x2="33" y1="5" y2="5"/>'
        f"</svg> {curve.name}</span>"
        for curve in curves
    ]
    return f'<p class="keys">{"".join(lines)}</p>'


def reliability_chart(points: Sequence[Point], what: str) -> str:
    """Observed share against predicted probability, with intervals; on the diagonal a probability is what it says."""
    size = SIDE - 2 * _MARGIN

    def at(share: float) -> float:
        return round(_MARGIN + size * share, 2)

    def up(share: float) -> float:
        return round(SIDE - _MARGIN - size * share, 2)

    parts = [f'<line class="rule" x1="{at(0)}" y1="{up(0)}" x2="{at(1)}" y2="{up(1)}"/>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="rule" x1="{at(0)}" x2="{at(1)}" y1="{up(share)}" y2="{up(share)}"/>')
        parts.append(f'<text class="tick" x="{at(0) - 5}" y="{up(share) + 4}" text-anchor="end">{share:g}</text>')
        parts.append(f'<text class="tick" x="{at(share)}" y="{up(0) + 15}" text-anchor="middle">{share:g}</text>')
    parts.append(f'<text class="tick" x="{SIDE / 2}" y="{SIDE - 4}" text-anchor="middle">predicted</text>')
    parts.append(f'<text class="tick" x="{at(0)}" y="{up(1) - 10}">observed share of {what}</text>')
    places = " ".join(f"{at(point.predicted)},{up(point.observed)}" for point in points)
    parts.append(f'<polyline class="curve c-recall" points="{places}"/>')
    for point in points:
        x = at(point.predicted)
        parts.append(f'<line class="whisker" x1="{x}" x2="{x}" y1="{up(point.low)}" y2="{up(point.high)}"/>')
        parts.append(
            f'<circle class="dotmark" cx="{x}" cy="{up(point.observed)}" r="3"><title>'
            f"predicted {point.predicted:.4f}, observed {point.observed:.4f} [{point.low:.4f}, {point.high:.4f}], "
            f"{point.units:,} {what}</title></circle>"
        )
    return _svg(SIDE, SIDE, f"Reliability of {what}: observed share against predicted probability", parts)


def _svg(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
