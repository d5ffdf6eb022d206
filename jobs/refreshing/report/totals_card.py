"""The counts of a release beside those of the one before, on the page."""

from jobs.refreshing.report.facts import ReleaseReport, Totals
from jobs.reporting.html import change, e
from jobs.reporting.page import PARTS

EMPTY = "&ndash;"


def release_tiles(now: Totals, before: Totals | None) -> list[tuple[str, str]]:
    """The largest figures, each with its difference below it: name and HTML."""
    return [
        ("documents in", _against(now.documents["in"], before and before.documents["in"])),
        ("tokens in the shards", _against(now.tokens, before and before.tokens)),
        ("tokens that bear loss", _against(now.loss_tokens, before and before.loss_tokens)),
        ("of the text's bytes in forget spans", _forgotten(now, before)),
    ]


def _against(after: int, before: int | None) -> str:
    return f"{after:,}" + ("" if before is None else f"<small>{change(after, before)}</small>")


def _forgotten(now: Totals, before: Totals | None) -> str:
    after = now.forget_share()
    return f"{after:.2%}" + ("" if before is None else f"<small>{_points(after, before.forget_share())}</small>")


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
