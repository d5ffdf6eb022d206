"""The tables of the classifier's page: figures with intervals by scorer, leads over baselines, groups.

A row in which a baseline is at least as good as the classifier is set in bold, and says so in words.
"""

from collections.abc import Sequence

from tokensieve.jobs.pages.html import e, one_line
from tokensieve.pretrain.measuring.bootstrap import Estimate
from tokensieve.pretrain.measuring.schema import MODEL, Row, ScorerFigures, SetReport

_COLUMNS = ("AUROC", "recall", "false-positive rate", "precision", "F1", "average precision", "marked")
_NAMES = {
    "auroc": "AUROC",
    "balanced.f1": "F1, half and half",
    "balanced.average_precision": "average precision, half and half",
    "natural.f1": "F1 at prevalence",
    "natural.average_precision": "average precision at prevalence",
}


def whole_set(report: SetReport) -> str:
    """All documents of the set, every scorer, by unit; each figure that depends on prevalence in both ways."""
    rows = [row for row in report.rows if row.kind == "all"]
    return "".join(f"<h3>{_counts(row)}</h3>{_scorers(row)}{_leads(row)}" for row in rows)


def groups(report: SetReport, kind: str) -> str:
    """One line a domain (or source) and unit; empty where the set has only one."""
    rows = [row for row in report.rows if row.kind == kind]
    if not rows:
        return ""
    head = "".join(
        f'<th class="num">{name}</th>'
        for name in ("documents", "AUROC", "recall", "false-positive rate", "F1, half and half", "F1 at prevalence")
    )
    baselines = [name for name in rows[0].scorers if name != MODEL]
    head += "".join(f'<th class="num">AUROC, lead over {e(name)}</th>' for name in baselines)
    lines = "".join(_group(row, baselines) for row in rows)
    return f'<div class="scroll"><table><tr><th>{kind}</th><th>unit</th>{head}</tr>{lines}</table></div>'


def lost(report: SetReport) -> list[str]:
    """The rows in which a baseline is at least as good as the classifier, in words."""
    found = []
    for row in report.rows:
        for who, differences in row.differences.items():
            lead = differences["auroc"].value
            if row.kind != "source" and lead is not None and lead <= 0:
                found.append(f"{row.unit}s, {row.group or 'all documents'}: {who}")
    return found


def _counts(row: Row) -> str:
    unknown = f", {row.unknown:,} of unknown label left out" if row.unknown else ""
    share = "" if row.prevalence is None else f" (prevalence {row.prevalence:.3f})"
    return f"{row.unit.capitalize()}s: {row.positives:,} forget, {row.negatives:,} retain{share}{unknown}"


def _scorers(row: Row) -> str:
    head = "".join(f'<th class="num">{name}</th>' for name in _COLUMNS)
    lines = "".join(_scorer(name, figures) for name, figures in row.scorers.items())
    return (
        f'<div class="scroll"><table><tr><th>scorer</th><th class="num">threshold</th>{head}</tr>{lines}</table></div>'
    )


def _scorer(name: str, figures: ScorerFigures) -> str:
    both = [
        (figures.balanced.precision, figures.natural.precision),
        (figures.balanced.f1, figures.natural.f1),
        (figures.balanced.average_precision, figures.natural.average_precision),
    ]
    cells = [_cell(figures.auroc), _cell(figures.recall), _cell(figures.false_positive_rate)]
    cells += [
        f'<td class="num">{_figure(balanced)}<br><span class="dim">{_figure(natural)}</span></td>'
        for balanced, natural in both
    ]
    cells.append(_cell(figures.marked))
    return f'<tr><td>{e(name)}</td><td class="num">{figures.threshold:.4f}</td>{"".join(cells)}</tr>'


def _leads(row: Row) -> str:
    if not row.differences:
        return ""
    names = list(next(iter(row.differences.values())))
    head = "".join(f'<th class="num">{_NAMES[name]}</th>' for name in names)
    lines = ""
    for who, differences in row.differences.items():
        cells = "".join(_lead(differences[name]) for name in names)
        lines += f"<tr><td>{MODEL} minus {e(who)}</td>{cells}</tr>"
    return f'<div class="scroll"><table><tr><th>lead</th>{head}</tr>{lines}</table></div>'


def _lead(estimate: Estimate) -> str:
    if estimate.value is None:
        return '<td class="num dim">undecided</td>'
    text = f"{estimate.value:+.4f}"
    if estimate.low is not None and estimate.high is not None:
        text += f'<br><span class="dim">{estimate.low:+.4f} to {estimate.high:+.4f}</span>'
    weight = "b" if estimate.value <= 0 else "span"
    sure = "" if estimate.excludes_zero else '<br><span class="dim">may be 0</span>'
    return f'<td class="num"><{weight}>{text}</{weight}>{sure}</td>'


def _group(row: Row, baselines: Sequence[str]) -> str:
    model = row.scorers[MODEL]
    behind = any((lead["auroc"].value or 1) <= 0 for lead in row.differences.values())
    name = f"{e(one_line(row.group, 80))}"
    if row.borrowed:
        name += f'<br><span class="dim">with all {row.borrowed} of the set</span>'
    figures = (model.auroc, model.recall, model.false_positive_rate, model.balanced.f1, model.natural.f1)
    cells = "".join(_cell(figure) for figure in figures)
    cells += "".join(_lead(row.differences[who]["auroc"]) for who in baselines)
    opening = '<tr class="behind">' if behind else "<tr>"
    return f'{opening}<td>{name}</td><td>{row.unit}</td><td class="num">{row.documents:,}</td>{cells}</tr>'


def _cell(estimate: Estimate) -> str:
    return f'<td class="num">{_figure(estimate)}</td>'


def _figure(estimate: Estimate) -> str:
    if estimate.value is None:
        return "&ndash;"
    value, *interval = estimate.text(4).split(" ", 1)
    return value + (f'<br><span class="dim">{interval[0]}</span>' if interval else "")
