"""A classifier's report to one self-contained HTML page, from the records of `report.json` alone.

As on a corpus's page, every string from a corpus or a configuration goes through `html.e`, and the content security
policy is the second lock.
"""

from tokensieve.jobs.pages.charts import Curve, Point, legend, reliability_chart, sweep_chart
from tokensieve.jobs.pages.classifier.tables import groups, lost, whole_set
from tokensieve.jobs.pages.frame import html_document, names, tiles
from tokensieve.jobs.pages.html import e, one_line
from tokensieve.pretrain.measuring.schema import MODEL, Mistake, Reliability, Report, SetReport, Sweep
from tokensieve.udfs.scores.stored_scores import grid_threshold

_STYLE = """
.curve { fill: none; stroke: var(--dim); stroke-width: 2; }
.c-recall { stroke: var(--hide); } .c-precision { stroke: var(--drop); stroke-dasharray: 7 3; }
.c-f1 { stroke: var(--keep); } .c-fpr { stroke: var(--quarantine); stroke-dasharray: 2 3; }
.c-marked { stroke: var(--mask); stroke-dasharray: 9 3 2 3; }
.whisker { stroke: var(--dim); } .dotmark { fill: var(--hide); }
.keys span { margin-right: 16px; white-space: nowrap; }
svg.key { display: inline-block; width: 34px; vertical-align: middle; }
main { max-width: 1340px; }
.square { max-width: 340px; } .behind td { font-weight: 700; } .num .dim { font-size: 12px; font-weight: 400; }
.ff { background: var(--mask-back); text-decoration: underline 2px var(--drop); text-underline-offset: 3px; }
.mf { background: var(--hide-back); text-decoration: underline 2px dashed var(--hide); text-underline-offset: 3px; }
.rf { text-decoration: underline 1px var(--keep); text-underline-offset: 3px; } .uk { opacity: .55; }
"""
_KINDS = {"false_forget": "ff", "missed_forget": "mf", "right_forget": "rf", "unknown": "uk", "right_retain": ""}
_OPEN = 2  # so many mistakes of a set are unfolded at first


def classifier_page(report: Report) -> str:
    """The whole page. The same report gives the same bytes."""
    body = [*_header(report), _reading(report), *(part for one in report.sets for part in _set(one)), *_names(report)]
    return html_document(report.bundle.name, body, _STYLE)


def _header(report: Report) -> list[str]:
    bundle = report.bundle
    return [
        f"<header><h1>Classifier {e(one_line(bundle.name))}</h1>",
        f'<p class="dim">policy {e(one_line(bundle.policy))}, bundle <code>{e(bundle.bundle_id)}</code></p></header>',
        tiles(_figures(report)),
    ]


def _figures(report: Report) -> list[tuple[str, str]]:
    figures = []
    for one in report.sets:
        row = one.row("token")
        if row is not None:
            figures.append((f"token AUROC, {one.name}", row.scorers[MODEL].auroc.text().split(" ")[0]))
    return figures


def _reading(report: Report) -> str:
    baselines = "; ".join(f"{e(one.name)}: {_smooth(one.smooth)}" for one in report.baselines)
    compared = (
        "<p>Baselines have one log-odds a word, learned from the training documents, and thresholds of highest "
        f"balanced F1 on documents kept apart: {baselines}. A lead is the classifier's figure minus the baseline's, on "
        "the same draws; bold where the baseline is at least as good.</p>"
        if report.baselines
        else "<p>No baseline was asked for.</p>"
    )
    behind = [f"{e(one.name)}: {e('; '.join(lost(one)))}" for one in report.sets if lost(one)]
    verdict = f"<p><b>A baseline is at least as good here.</b> {'. '.join(behind)}.</p>" if behind else ""
    return (
        f'<div class="card"><p>In brackets: 95 % intervals from {report.draws:,} draws of documents. Where a figure '
        "depends on how many units are positive, it stands twice: first with both classes weighing the same, below it "
        f"at prevalence. Thresholds were chosen on other documents.</p>{compared}{verdict}</div>"
    )


def _smooth(words: int) -> str:
    return f"the mean over {words} words to each side" if words else "the word alone"


def _set(report: SetReport) -> list[str]:
    left_out = ", ".join(f"{e(reason)} {count:,}" for reason, count in report.left_out.items())
    facts = f"{report.documents:,} documents" + (f"; left out: {left_out}" if left_out else "")
    parts = [
        f"<h2>{e(report.name)}</h2>",
        f'<p>{e(report.definition)}</p><p class="dim">{facts}.</p>',
        f'<div class="card">{whole_set(report)}</div>',
    ]
    for kind in ("domain", "source"):
        table = groups(report, kind)
        if table:
            opened = " open" if kind == "domain" else ""
            parts.append(f"<details{opened}><summary>By {kind}</summary>{table}</details>")
    for sweep, reliability in zip(report.sweeps, report.reliability, strict=True):
        parts.append(_curves(report, sweep, reliability))
    return parts + _mistakes(report)


def _curves(report: SetReport, sweep: Sweep, reliability: Reliability) -> str:
    row = report.row(sweep.unit)
    threshold = row.scorers[MODEL].threshold if row else 0.5
    curves = [
        Curve(name="recall", kind="c-recall", values=sweep.recall),
        Curve(name="precision at prevalence", kind="c-precision", values=sweep.precision),
        Curve(name="F1 at prevalence", kind="c-f1", values=sweep.f1),
        Curve(name="false-positive rate", kind="c-fpr", values=sweep.false_positive_rate),
        Curve(name="marked share", kind="c-marked", values=sweep.marked),
    ]
    points = [
        Point(
            predicted=one.predicted,
            observed=one.observed.value or 0.0,
            low=one.observed.value or 0.0 if one.observed.low is None else one.observed.low,
            high=one.observed.value or 0.0 if one.observed.high is None else one.observed.high,
            units=one.units,
        )
        for one in reliability.bins
    ]
    error = reliability.expected_calibration_error.text()
    return (
        f'<div class="card"><h3>{sweep.unit.capitalize()}s</h3><div class="two"><div>'
        f"{sweep_chart(curves, threshold, grid_threshold(threshold))}{legend(curves)}{_shares(sweep)}</div>"
        f'<div class="square">{reliability_chart(points, f"{sweep.unit}s")}'
        f'<p class="dim">Expected calibration error {error}.</p></div></div></div>'
    )


def _shares(sweep: Sweep) -> str:
    rows = ""
    for one in sweep.shares:
        figures = (one.threshold, one.marked, one.recall, one.precision)
        cells = "".join(f'<td class="num">{"&ndash;" if value is None else f"{value:.4f}"}</td>' for value in figures)
        rows += f'<tr><td class="num">{one.wanted:.2%}</td>{cells}</tr>'
    head = "".join(f'<th class="num">{name}</th>' for name in ("share", "threshold", "marked", "recall", "precision"))
    return f"<table><tr>{head}</tr>{rows}</table>"


def _mistakes(report: SetReport) -> list[str]:
    if not report.mistakes:
        return []
    key = (
        '<p class="legend"><span class="ff">false forget</span><span class="mf">missed forget</span>'
        '<span class="rf">rightly forgotten</span><span class="uk">unknown label</span></p>'
    )
    note = "Mistakes by the labels, which may themselves be wrong; hold the pointer over a token for its probability."
    cards = [_mistake(one, at) for at, one in enumerate(report.mistakes)]
    return [f'<h3>Where it is most wrong</h3><p class="dim">{note}</p>{key}', *cards]


def _mistake(one: Mistake, at: int) -> str:
    what = "false forget" if one.kind == "false_forget" else "missed forget"
    known = "" if one.document_probability is None else f", document score {one.document_probability:.4f}"
    last = one.first_token + len(one.pieces)
    where = f"tokens {one.first_token + 1:,} to {last:,} of {one.tokens:,}"
    origin = "; ".join(e(one_line(part, 160)) for part in (one.source, one.domain) if part)
    text = "".join(
        f'<span{_class(_KINDS[piece.kind])} title="{piece.probability:.4f}">{e(piece.text)}</span>'
        for piece in one.pieces
    )
    return (
        f"<details{' open' * (at < _OPEN)}><summary>{what}, {one.wrong:,} tokens: "
        f"<code>{e(one_line(one.doc_id, 120))}</code></summary>"
        f'<p class="dim">{origin}{"; " if origin else ""}{where}{known}</p>'
        f'<div class="text" dir="auto">{text}</div></details>'
    )


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _names(report: Report) -> list[str]:
    rows = [("bundle", f"{report.bundle.name} {report.bundle.bundle_id}"), ("encoder", report.bundle.encoder_id)]
    rows += [(f"{unit} threshold", f"{value:.6f}, {how}") for unit, (value, how) in report.bundle.thresholds.items()]
    rows += [("scored on", f"{report.device}, {report.dtype}"), ("seed", str(report.seed))]
    rows += [("baselines learned from", f"{one.path}, {one.sha256}") for one in report.baseline_inputs]
    rows += [(one.name, f"{file.path}, {file.sha256}") for one in report.sets for file in one.inputs]
    return names(rows)
