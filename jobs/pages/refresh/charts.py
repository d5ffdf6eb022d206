"""Inline SVG of a refresh: two distributions of scores over each other, and the history of releases. No script.

The two distributions are told apart by form, bars against a stepped line, not by colour alone.
"""

from collections.abc import Sequence

import numpy as np

from tokensieve.jobs.pages.charts import (
    BOTTOM,
    HEIGHT,
    TOP,
    WIDTH,
    grid_x,
    keys,
    line_key,
    mark_at,
    probability,
    probability_axis,
    svg,
)
from tokensieve.jobs.pages.html import e
from tokensieve.jobs.releases.release_report import Point

BIN = 4  # grid values in a bar
BASE, TALL = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
SERIES = ("s0", "s1", "s2", "s3")  # dashes and colours of the style sheet, in turn
PANELS = ("share of the bytes in forget spans", "documents")
WIDE, PANEL = 1000, 150  # of the history: its width, the height of each of its two panels
STYLE = """
svg .after { fill: none; stroke: var(--drop); stroke-width: 2; }
svg .line { fill: none; stroke-width: 2; }
svg .s0 { stroke: var(--hide); } svg .s1 { stroke: var(--drop); stroke-dasharray: 7 3; }
svg .s2 { stroke: var(--keep); stroke-dasharray: 2 3; }
svg .s3 { stroke: var(--quarantine); stroke-dasharray: 9 3 2 3; }
svg circle { fill: var(--card); stroke-width: 2; stroke-dasharray: none !important; }
svg.key { display: inline-block; width: 34px; vertical-align: middle; }
.keys span { margin-right: 18px; white-space: nowrap; }
"""


def overlay(before_B: Sequence[int], after_B: Sequence[int], *, before: str, after: str) -> str:
    """Two histograms of document scores as shares, int [256] each: bars, and a stepped line over them.

    `before` and `after` say whose documents they are: plain text of ours.
    """
    old_N, new_N = (_shares(counts_B) for counts_B in (before_B, after_B))
    top = max(float(old_N.max()), float(new_N.max())) or 1.0
    parts = [*_share_axis(top), *probability_axis("share of documents")]
    for at, (old, new) in enumerate(zip(old_N.tolist(), new_N.tolist())):
        if old or new:
            parts.append(_bar(at, old, new, top, before, after))
    steps = " ".join(
        f"{grid_x(edge * BIN)},{_up(share, top)}" for at, share in enumerate(new_N.tolist()) for edge in (at, at + 1)
    )
    parts.append(f'<polyline class="after" points="{steps}"/>')
    label = f"Document scores as shares: {before} as bars, {after} as a line"
    return svg(WIDTH, HEIGHT, e(label), parts)


def overlay_keys(before: str, after: str) -> str:
    """What bar and line are."""
    bar = '<rect class="bar" x="1" y="1" width="32" height="8"/>'
    return keys([(bar, before), (line_key("after"), after)])


def _shares(counts_B: Sequence[int]) -> np.ndarray:
    bars_N = np.asarray(counts_B, dtype=np.float64).reshape(-1, BIN).sum(axis=1)
    return bars_N / max(1.0, bars_N.sum())


def _up(share: float, top: float) -> float:
    return round(BASE - TALL * share / top, 2)


def _share_axis(top: float) -> list[str]:
    return [piece for part in (0.5, 1.0) for piece in mark_at(_up(top * part, top), f"{top * part:.1%}")]


def _bar(at: int, old: float, new: float, top: float, before: str, after: str) -> str:
    x, y = grid_x(at * BIN), _up(old, top)
    span = f"{probability(at * BIN):.4f} to {probability(at * BIN + BIN - 1):.4f}"
    said = f"score {span}: {old:.2%} of {before}, {new:.2%} of {after}"
    return (
        f'<rect class="bar" x="{x}" y="{y}" width="{round(grid_x((at + 1) * BIN) - x - 0.35, 2)}" '
        f'height="{round(BASE - y, 2)}"><title>{e(said)}</title></rect>'
    )


def history(points: Sequence[Point]) -> str:
    """Forget share of each policy, and below it documents, over the releases from left to right."""
    policies = sorted({policy for point in points for policy in point.forget_share})
    top = max((share for point in points for share in point.forget_share.values()), default=0.0) or 0.01
    most = max((point.documents for point in points), default=0) or 1
    parts = [*_panel(0, [(f"{top * part:.2%}", part) for part in (0, 0.5, 1)])]
    parts += _panel(1, [(f"{most * part:,.0f}", part) for part in (0, 0.5, 1)])
    for number, policy in enumerate(policies):
        parts += _line(points, policy, SERIES[number % len(SERIES)], top)
    parts += [_documents(points, at, most) for at in range(len(points))]
    every = max(1, len(points) // 10)
    for at in range(len(points) - 1, -1, -every):
        parts.append(
            f'<text class="tick" x="{_x(points, at)}" y="{2 * PANEL + 14}" text-anchor="middle">'
            f"{points[at].release}</text>"
        )
    parts.append(f'<text class="tick" x="{WIDE / 2}" y="{2 * PANEL + 30}" text-anchor="middle">release</text>')
    label = f"Forget share and documents of the last {len(points)} releases"
    return svg(WIDE, 2 * PANEL + 34, label, parts)


def history_keys(points: Sequence[Point]) -> str:
    """The policies, each beside a piece of its line."""
    policies = sorted({policy for point in points for policy in point.forget_share})
    return keys(
        [
            (line_key(f"line {SERIES[at % len(SERIES)]}"), f"forget share of {policy}")
            for at, policy in enumerate(policies)
        ]
    )


def _x(points: Sequence[Point], at: int) -> float:
    slot = (WIDE - 80) / max(1, len(points))
    return round(72 + slot * (at + 0.5), 2)


def _y(panel: int, part: float) -> float:
    """Where a part, 0 to 1, of a panel's scale is drawn; panel 0 is the upper one."""
    return round(PANEL * (panel + 1) - 12 - (PANEL - 34) * part, 2)


def _panel(panel: int, ticks: Sequence[tuple[str, float]]) -> list[str]:
    """A panel's title and lines; a tick is a label and the part of the scale, 0 to 1, that it stands at."""
    parts = [f'<text class="note" x="72" y="{PANEL * panel + 13}">{PANELS[panel]}</text>']
    for label, part in ticks:
        parts += mark_at(_y(panel, part), label, left=72, right=WIDE - 8)
    return parts


def _line(points: Sequence[Point], policy: str, kind: str, top: float) -> list[str]:
    places = [
        (_x(points, at), _y(0, point.forget_share[policy] / top), point)
        for at, point in enumerate(points)
        if policy in point.forget_share
    ]
    line = " ".join(f"{x},{y}" for x, y, _ in places)
    dots = [
        f'<circle class="{kind}" cx="{x}" cy="{y}" r="3.5"><title>release {point.release} of {point.made_at:%Y-%m-%d}: '
        f"{point.forget_share[policy]:.3%} of the bytes for {e(policy)}</title></circle>"
        for x, y, point in places
    ]
    return [f'<polyline class="line {kind}" points="{line}"/>', *dots]


def _documents(points: Sequence[Point], at: int, most: int) -> str:
    point, width = points[at], min(40.0, round((WIDE - 80) / len(points) * 0.7, 2))
    y = _y(1, point.documents / most)
    return (
        f'<rect class="bar" x="{round(_x(points, at) - width / 2, 2)}" y="{y}" width="{width}" '
        f'height="{round(_y(1, 0) - y, 2)}"><title>release {point.release} of {point.made_at:%Y-%m-%d}: '
        f"{point.documents:,} documents</title></rect>"
    )
