"""Inline SVG: histograms on the logit grid, curves over thresholds, and predicted against observed shares.

No library, no script; colours come from the page's style. Counts are drawn on a logarithmic scale, since nearly all
tokens of a corpus lie far below a threshold and the few above it are what a reader looks for. Every curve has its own
dashes as well as its colour, and its name stands in a legend of text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.jobs.pages.html import e
from tokensieve.udfs.scores.stored_scores import GRID_STEP, GRID_ZERO, grid_threshold

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 500, 190, 40, 34, 26
TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
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


def histogram(counts_B: np.ndarray, *, what: str, threshold: float | None, bin_width: int = 1) -> str:
    """A histogram of grid values as SVG.

    Args: counts int64 [256]; `what` is counted (plain text of ours: "tokens"); a probability to draw a line at, from
    which on bars are emphasised; how many grid values share a bar.
    """
    bars_N = counts_B.reshape(-1, bin_width).sum(axis=1)
    limit = 256 if threshold is None else grid_threshold(threshold)
    top = max(1, int(bars_N.max()))
    parts = [*_grid(top), *probability_axis("counts on a log scale")]
    parts += [_bar(at, int(count), top, bin_width, limit, what) for at, count in enumerate(bars_N.tolist()) if count]
    if threshold is not None:
        parts.append(_threshold_line(limit, threshold, counts_B, what))
    label = f"Histogram of {what} by score, {int(counts_B.sum()):,} in all"
    return svg(WIDTH, HEIGHT, label, parts)


def probability(grid: float) -> float:
    """The probability at a place on the grid."""
    return 1 / (1 + math.exp(-(grid - GRID_ZERO) * GRID_STEP))


def grid_x(grid: float) -> float:
    """Where a place on the grid is drawn."""
    return round(LEFT + (WIDTH - LEFT - 8) * grid / 256, 2)


def probability_axis(note: str) -> list[str]:
    """The horizontal axis: the logit grid with probabilities at its ticks, and a note on the other one."""
    base = HEIGHT - BOTTOM
    parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - 8}" y1="{base}" y2="{base}"/>']
    for value in TICKS:
        x = grid_x(math.log(value / (1 - value)) / GRID_STEP + GRID_ZERO)
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{base}" y2="{base + 4}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{base + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(
        f'<text class="tick" x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 3}" text-anchor="middle">'
        f"probability (logit scale); {note}</text>"
    )
    return parts


def sweep_chart(curves: Sequence[Curve], threshold: float, level: int) -> str:
    """Curves over the logit grid, with a line at the threshold in force."""
    base, height = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts += mark_at(round(base - height * share, 2), f"{share:g}")
    parts += probability_axis("share of units")
    for curve in curves:
        places = " ".join(f"{grid_x(at)},{round(base - height * v, 2)}" for at, v in enumerate(curve.values))
        parts.append(f'<polyline class="curve {curve.kind}" points="{places}"><title>{curve.name}</title></polyline>')
    x = grid_x(level)
    parts.append(f'<line class="threshold" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{base}"/>')
    at = min(max(x, LEFT + 50), WIDTH - 50)
    parts.append(f'<text class="note" x="{at}" y="12" text-anchor="middle">threshold {threshold:.4g}</text>')
    return svg(WIDTH, HEIGHT, "Figures at every threshold: " + ", ".join(curve.name for curve in curves), parts)


def legend(curves: Sequence[Curve]) -> str:
    """The names of the curves, each beside a piece of its line."""
    return keys([(line_key(f"curve {curve.kind}"), curve.name) for curve in curves])


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
    return svg(SIDE, SIDE, f"Reliability of {what}: observed share against predicted probability", parts)


def svg(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    """A picture of its parts; `label`, as HTML, is read out in its place."""
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def mark_at(y: float, label: str, *, left: int = LEFT, right: int = WIDTH - 8) -> list[str]:
    """A horizontal line with its value before it."""
    return [
        f'<line class="rule" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>',
        f'<text class="tick" x="{left - 6}" y="{y + 4}" text-anchor="end">{label}</text>',
    ]


def line_key(kind: str) -> str:
    """A piece of a line of this class, for `keys`."""
    return f'<line class="{kind}" x1="1" x2="33" y1="5" y2="5"/>'


def keys(pairs: Sequence[tuple[str, str]]) -> str:
    """A legend: pieces of drawing, each with its name."""
    spans = (f'<span><svg class="key" viewBox="0 0 34 10">{piece}</svg> {e(name)}</span>' for piece, name in pairs)
    return f'<p class="keys">{"".join(spans)}</p>'


def _y(count: float, top: int) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * math.log1p(count) / math.log1p(top), 2)


def _bar(at: int, count: int, top: int, width: int, limit: int, what: str) -> str:
    first, last = at * width, (at + 1) * width - 1
    x, y = grid_x(first), _y(count, top)
    kind = "bar over" if first >= limit else "bar"
    span = f"{probability(first):.4f}" if width == 1 else f"{probability(first):.4f} to {probability(last):.4f}"
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{max(0.5, round(grid_x(last + 1) - x - 0.35, 2))}" '
        f'height="{round(HEIGHT - BOTTOM - y, 2)}"><title>probability {span}: {count:,} {what}</title></rect>'
    )


def _grid(top: int) -> list[str]:
    parts = []
    for power in range(0, math.ceil(math.log10(top)) + 1, 1 if top < 10**5 else 2):
        count = 10**power
        if count <= top:
            parts += mark_at(_y(count, top), _short(count))
    return parts


def _threshold_line(limit: int, threshold: float, counts_B: np.ndarray, what: str) -> str:
    x = grid_x(limit)
    over, total = int(counts_B[limit:].sum()), int(counts_B.sum())
    half = 150  # about half the width of the label, which must not leave the picture
    label_x = min(max(x, LEFT + half), WIDTH - half)
    share = f"{over / total:.2%} of {what}" if total else f"no {what}"
    return (
        f'<line class="threshold" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="note" x="{label_x}" y="12" text-anchor="middle">'
        f"threshold {threshold:.4g}: {share} at or above</text>"
    )


def _short(count: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count // size}{unit}"
    return str(count)
