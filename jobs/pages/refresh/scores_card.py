"""Scores on the page: drift over time, another bundle on the same documents, and what new rules make of them."""

from collections.abc import Sequence

from tokensieve.jobs.config.refresh import DriftConfig
from tokensieve.jobs.pages.html import e, one_line
from tokensieve.jobs.pages.refresh.charts import overlay, overlay_keys
from tokensieve.jobs.releases.release_report import (
    BundleChange,
    Difference,
    Drift,
    Flips,
    Profile,
    ReleaseReport,
    ReportFile,
    RuleChange,
    SameDocuments,
    TokenFigures,
)

VERDICTS = {
    "steady": ("keep", "steady"),
    "warn": ("mask", "moved"),
    "alarm": ("drop", "another distribution"),
    "too_few": ("hide", "too few documents to judge"),
    "no_reference": ("hide", "no earlier documents of this bundle"),
    "nothing_new": ("hide", "no document was written"),
}
Row = tuple[str, str, str]
"""A figure's name, before, after."""


def drift_cards(file: ReportFile, config: DriftConfig) -> list[str]:
    """Each policy's documents written for this release against those of earlier ones, with the verdict."""
    explained = (
        '<p class="dim">Document scores of the files written for this release against those of earlier releases with '
        "the same bundle. The index (PSI) sums over bins of one logit: above "
        f"{config.warn:g} the scores have moved, above {config.alarm:g} they are another distribution; below "
        f"{config.min_documents:,} documents on a side nothing is said. The Kolmogorov-Smirnov test says whether "
        "chance could do it if documents were independent. Those of one file are not: a small p alone is no alarm.</p>"
    )
    cards = (_drift(name, drift, file.profiles[name]) for name, drift in file.report.drift.items())
    return [f"<h2>Score drift</h2>{explained}", *cards]


def _drift(name: str, drift: Drift, profile: Profile) -> str:
    kind, words = VERDICTS[drift.verdict]
    head = f'<h3><code>{e(name)}</code> <span class="badge b-{kind}">{words}</span></h3>'
    rows = [
        ("documents with a score", f"{drift.difference.before:,}", f"{drift.difference.after:,}"),
        ("mean token probability", _number(drift.tokens_before.mean), _number(drift.tokens_after.mean)),
        ("tokens at or above the threshold", _above(drift.tokens_before), _above(drift.tokens_after)),
    ]
    return _compared(
        head + _figures(drift.difference),
        profile.reference_documents_B,
        profile.documents_B,
        ("earlier", "this release"),
        rows,
    )


def bundle_cards(file: ReportFile) -> list[str]:
    """Policies with another bundle: what it makes of the documents that both releases have. Nothing without one."""
    cards = []
    for name, changed in file.report.bundle_changes.items():
        same = file.profiles[name].other_bundle
        assert same is not None, "written together"
        cards.append(_bundle(name, changed, same))
    if not cards:
        return []
    return [
        '<h2>Another classifier on the same documents</h2><p class="dim">Equal id and text in both releases.</p>',
        *cards,
    ]


def _bundle(name: str, changed: BundleChange, same: SameDocuments) -> str:
    head = (
        f"<h3><code>{e(name)}</code></h3><p>{e(one_line(changed.name_before))} <code>{e(changed.before)}</code> &rarr; "
        f"{e(one_line(changed.name_after))} <code>{e(changed.after)}</code></p>"
    )
    rows = [
        ("documents with a score", f"{changed.difference.before:,}", f"{changed.difference.after:,}"),
        ("mean change of the score", "", "&ndash;" if changed.mean_change is None else f"{changed.mean_change:+.4f}"),
        ("correlation of the logits", "", _number(changed.correlation)),
    ]
    return _compared(
        head + _figures(changed.difference), same.before_B, same.after_B, ("old bundle", "new bundle"), rows
    )


def rules_card(report: ReleaseReport) -> list[str]:
    """Settings that are other ones, and how many documents get another action for it."""
    if not report.rule_changes and report.flips is None:
        return []
    rows = "".join(map(_setting, report.rule_changes))
    head = "<tr><th>policy</th><th>setting</th><th>before</th><th>now</th></tr>"
    flips = _flips(report.flips) if report.flips else ""
    return [f'<h2>Other rules</h2><div class="card"><div class="scroll"><table>{head}{rows}</table></div>{flips}</div>']


def _setting(changed: RuleChange) -> str:
    before, after = (
        "&ndash;" if value is None else e(one_line(value, 80)) for value in (changed.before, changed.after)
    )
    return (
        f"<tr><td><code>{e(changed.policy)}</code></td><td>{e(changed.setting)}</td>"
        f'<td class="mono">{before}</td><td class="mono">{after}</td></tr>'
    )


def _flips(flips: Flips) -> str:
    moved = sum(move.documents for move in flips.moves)
    title = f"{moved:,} of {flips.compared:,} documents ({flips.share:.2%}) get another action"
    rows = "".join(
        f'<tr><td>{e(move.before)} &rarr; {e(move.after)}</td><td class="num">{move.documents:,}</td></tr>'
        for move in flips.moves
    )
    return f"<h3>{title}</h3><table>{rows}</table>"


def _compared(
    head: str, before_B: Sequence[int], after_B: Sequence[int], names: tuple[str, str], rows: Sequence[Row]
) -> str:
    """A card: words, the two distributions where both sides have documents, figures of both sides."""
    before, after = names
    drawn = any(before_B) and any(after_B)
    chart = overlay(before_B, after_B, before=before, after=after) + overlay_keys(before, after) if drawn else ""
    lines = "".join(
        f'<tr><td>{name}</td><td class="num">{old}</td><td class="num">{new}</td></tr>' for name, old, new in rows
    )
    table = f'<table><tr><th></th><th class="num">{before}</th><th class="num">{after}</th></tr>{lines}</table>'
    body = f'<div class="two"><div>{chart}</div><div>{table}</div></div>' if chart else table
    return f'<div class="card">{head}{body}</div>'


def _figures(found: Difference) -> str:
    if found.psi is None or found.p_value is None or found.ks is None:
        return ""
    p_value = "p below 0.0001" if found.p_value < 0.0001 else f"p = {found.p_value:.4f}"
    return f"<p>PSI {found.psi:.4f}; Kolmogorov-Smirnov distance {found.ks:.4f}, {p_value}.</p>"


def _number(value: float | None) -> str:
    return "&ndash;" if value is None else f"{value:.4f}"


def _above(figures: TokenFigures) -> str:
    return "&ndash;" if figures.above is None else f"{figures.above:.3%}"
