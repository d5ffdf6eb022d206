"""Cards of the refresh page: a release's counts beside those of the one before, and its source files.

Of the files: what came, changed and went, and what was skipped, why, and what to do.
"""

from collections.abc import Mapping

from tokensieve.jobs.pages.html import PARTS, change, e, one_line, reason_table
from tokensieve.jobs.releases.release_report import ReleaseReport, Sources, Totals
from tokensieve.udfs.reading.fault_reasons import advice

KINDS = {
    "new": "in the source for the first time",
    "changed": "another version under the same name",
    "gone": "their documents left the tables",
    "missing": "no longer in the source; their documents are kept",
    "rescored": "the same version, scored or sorted out again",
    "kept": "left alone",
    "broken": "could not be taken",
}
EMPTY = "&ndash;"


def release_tiles(now: Totals, before: Totals | None) -> list[tuple[str, str]]:
    """The largest figures, each with its difference below it: name and HTML."""
    return [
        ("documents in", _against(now.documents["in"], before and before.documents["in"])),
        ("tokens in the shards", _against(now.tokens, before and before.tokens)),
        ("tokens that bear loss", _against(now.loss_tokens, before and before.loss_tokens)),
        ("of the text's bytes in forget spans", _forgotten(now, before)),
    ]


def totals_card(report: ReleaseReport) -> list[str]:
    """The section of the page: documents, tokens and bytes, then what share each policy forgets."""
    now, before = report.totals, report.before
    rows = [
        _row(f'<i class="dot k-{part}"></i>{part}', now.documents[part], before and before.documents[part])
        for part in PARTS
    ]
    rows += [
        _row("documents in", now.documents["in"], before and before.documents["in"], kind="sum"),
        _row("tokens in the shards", now.tokens, before and before.tokens),
        _row("tokens that bear loss", now.loss_tokens, before and before.loss_tokens),
        _row("bytes of text in the masked table", now.text_bytes, before and before.text_bytes),
    ]
    shares = "".join(_policy_row(policy, now, before) for policy in now.forget_bytes)
    return [
        "<h2>Difference to the previous release</h2>",
        f'<div class="card scroll"><table>{_head("", report)}{"".join(rows)}</table>',
        f"<h3>Share of the bytes in forget spans</h3><table>{_head('policy', report)}{shares}</table></div>",
    ]


def sources_card(sources: Sources, reasons: Mapping[str, int]) -> list[str]:
    """The section of the page; `reasons` are quarantined documents by reason."""
    rows = "".join(
        f'<tr><td>{kind}</td><td class="num">{sources.counts.get(kind, 0):,}</td><td class="dim">{meaning}</td></tr>'
        for kind, meaning in KINDS.items()
    )
    lists = "".join(_names(kind, names, sources.counts[kind]) for kind, names in sources.names.items())
    head = '<tr><th>source files</th><th class="num">count</th><th></th></tr>'
    return [
        "<h2>Source files</h2>",
        f'<div class="card"><table>{head}{rows}</table>{lists}{reason_table(reasons)}</div>',
        *_skipped(sources),
    ]


def _against(after: int, before: int | None) -> str:
    return f"{after:,}" + ("" if before is None else f"<small>{change(after, before)}</small>")


def _forgotten(now: Totals, before: Totals | None) -> str:
    after = now.forget_share()
    return f"{after:.2%}" + ("" if before is None else f"<small>{_points(after, before.forget_share())}</small>")


def _head(first: str, report: ReleaseReport) -> str:
    earlier = f"release {report.previous}" if report.previous else "before"
    names = (earlier, f"release {report.release}", "difference")
    return f"<tr><th>{first}</th>" + "".join(f'<th class="num">{name}</th>' for name in names) + "</tr>"


def _row(name: str, now: int, before: int | None, kind: str = "") -> str:
    cells = (EMPTY, f"{now:,}", "") if before is None else (f"{before:,}", f"{now:,}", change(now, before))
    return f'<tr class="{kind}"><td>{name}</td>' + "".join(f'<td class="num">{cell}</td>' for cell in cells) + "</tr>"


def _policy_row(policy: str, now: Totals, before: Totals | None) -> str:
    after = now.forget_share(policy)
    cells = (EMPTY, f"{after:.3%}", "")
    if before is not None and policy in before.forget_bytes:
        earlier = before.forget_share(policy)
        cells = (f"{earlier:.3%}", f"{after:.3%}", _points(after, earlier))
    name = f"<code>{e(policy)}</code>"
    return f"<tr><td>{name}</td>" + "".join(f'<td class="num">{cell}</td>' for cell in cells) + "</tr>"


def _points(after: float, before: float) -> str:
    return f"{100 * (after - before):+.3f} points"


def _names(kind: str, names: tuple[str, ...], count: int) -> str:
    more = f" (the first {len(names)} of {count:,})" if count > len(names) else ""
    items = "".join(f'<li class="mono">{e(one_line(name, 200))}</li>' for name in names)
    return f"<h3>{kind}{more}</h3><ul>{items}</ul>"


def _skipped(sources: Sources) -> list[str]:
    if not sources.broken:
        return []
    count, shown = sources.counts["broken"], len(sources.broken)
    title = f"{count:,} file{'s' * (count != 1)} could not be taken" + (f"; {shown} are shown" if count > shown else "")
    rows = "".join(_skipped_row(name, why) for name, why in sources.broken.items())
    head = "<tr><th>skipped file</th><th>why</th><th>what to do</th></tr>"
    return [f'<div class="card warn scroll"><b>{title}.</b><table>{head}{rows}</table></div>']


def _skipped_row(name: str, why: str) -> str:
    reason, _, detail = why.partition(": ")
    said = f'<span class="mono">{e(reason)}</span><br>{e(one_line(detail, 300))}'
    return f'<tr><td class="mono">{e(one_line(name, 200))}</td><td>{said}</td><td>{advice(reason)}</td></tr>'
