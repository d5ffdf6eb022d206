"""The source files of a night on the page: what came, changed and went, and what was skipped, why, and what to do."""

from collections.abc import Mapping

from jobs.refreshing.report.facts import Sources
from jobs.reporting.html import e
from jobs.reporting.page import reason_table
from jobs.visible import one_line

KINDS = {
    "new": "in the source for the first time",
    "changed": "another version under the same name",
    "gone": "their documents left the tables",
    "missing": "no longer in the source; their documents are kept",
    "rescored": "the same version, scored or sorted out again",
    "kept": "left alone",
    "broken": "could not be taken",
}
ADVICE = {
    "unreadable_file": "Put the file there again, whole; the next refresh sees that it changed.",
    "schema_mismatch": "Name the column in source.columns, or write the file again with the columns of the others. "
    "After a change of the configuration only: refresh --replay.",
    "vanished_file": "Somebody removed it while it was read. Nothing to do: the next refresh looks again.",
    "changed_file": "Somebody wrote it while it was read. Nothing to do: the next refresh takes it.",
}
ELSE = "See the table quarantine; refresh --replay reads the file again, source.exclude takes it out."


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
    return f'<tr><td class="mono">{e(one_line(name, 200))}</td><td>{said}</td><td>{ADVICE.get(reason, ELSE)}</td></tr>'
