"""A refresh as one self-contained HTML page, `<tables.root>/refresh.html`: how it ended, what the newest release has
that the one before had not, and whether that looks right. Nothing on it runs, nothing is loaded; it prints.

Names of files and messages of errors are hostile until `html.e` has escaped them.
"""

from datetime import datetime

from tokensieve.jobs.config.refresh import DriftConfig
from tokensieve.jobs.pages.frame import html_document, names, tiles, warning
from tokensieve.jobs.pages.html import e, one_line
from tokensieve.jobs.pages.refresh.cards import release_tiles, sources_card, totals_card
from tokensieve.jobs.pages.refresh.charts import STYLE, history, history_keys
from tokensieve.jobs.pages.refresh.scores_card import bundle_cards, drift_cards, rules_card
from tokensieve.jobs.releases.release import Release
from tokensieve.jobs.releases.release_report import RefreshFile, ReportFile
from tokensieve.jobs.spark.progress import duration

BADGES = {"done": ("keep", "done"), "nothing_new": ("hide", "nothing new"), "failed": ("drop", "failed")}
ERROR_LENGTH = 4_000
_STYLE = """
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0;
  font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.tile b { font-size: 20px; }
.tile small { display: block; color: var(--dim); font-size: 13px; font-weight: 400; }
h1 .badge { font-size: 16px; vertical-align: middle; }
"""


def page(
    run: RefreshFile, release: Release | None, file: ReportFile | None, *, corpus: str, root: str, drift: DriftConfig
) -> str:
    """The whole page; the same values give the same bytes. `release` and `file` are of the newest release."""
    body = [*_header(run, release, corpus, root), *_cards(run, release, file)]
    if release and file:
        report = file.report
        body += [
            tiles(release_tiles(report.totals, report.before) + _run_tiles(run)),
            *totals_card(report),
            *sources_card(report.sources, release.reasons),
            *drift_cards(file, drift),
            *bundle_cards(file),
            *rules_card(report),
            "<h2>History</h2>",
            f'<div class="card">{history_keys(report.history)}{history(report.history)}</div>',
        ]
    body += [*_steps(run), *_names(run, release)]
    return html_document(f"refresh of {corpus}", body, STYLE + _STYLE)


def _header(run: RefreshFile, release: Release | None, corpus: str, root: str) -> list[str]:
    kind, words = BADGES[run.state]
    made = f"Release {release.version} of {_time(release.made_at)}" if release else "No release yet"
    return [
        f'<header><h1>Refresh of {e(one_line(corpus, 200))} <span class="badge b-{kind}">{words}</span></h1>',
        f'<p class="dim">{made} in <code>{e(one_line(root, 200))}</code>; ',
        f"the refresh ended {_time(run.ended_at)} on {e(one_line(run.host))}</p></header>",
    ]


def _cards(run: RefreshFile, release: Release | None, file: ReportFile | None) -> list[str]:
    cards = [_failure(run, release)] if run.state == "failed" else []
    if run.state == "nothing_new" and release and file:
        text = f"Nothing was new. Below is what release {release.version} has that the one before had not."
        cards.append(f'<div class="card">{text}</div>')
    if release and not file:
        text = "Counts and comparisons are left out here; the next <code>tokensieve refresh</code> makes them."
        cards.append(warning(f"The report of release {release.version} is missing", text))
    return cards + [warning("This did not work", e(one_line(text, 600))) for text in run.warnings]


def _failure(run: RefreshFile, release: Release | None) -> str:
    stands = f"Release {release.version} stands as it was." if release else "There is no release yet."
    since = f" A refresh last ended well {_time(run.last_success_at)}." if run.last_success_at else ""
    return warning(
        f"The refresh failed with {e(run.error_kind or 'an error')}, exit code {run.exit_code}",
        f"<pre>{e((run.error or 'no message')[:ERROR_LENGTH])}</pre><p>{stands}{since} When the cause is gone, run "
        "<code>tokensieve refresh</code> again: it takes up what is there.</p>",
    )


def _run_tiles(run: RefreshFile) -> list[tuple[str, str]]:
    found = [("wall time of the refresh", duration(run.duration_s))]
    if run.device:
        dollars = "" if run.device.dollars is None else f"<small>${run.device.dollars:,.2f}</small>"
        found.append(("device time", duration(run.device.device_s) + dollars))
    return found


def _steps(run: RefreshFile) -> list[str]:
    rows = "".join(
        f'<tr><td>{step}</td><td class="num">{seconds:,.1f} s</td></tr>' for step, seconds in run.seconds.items()
    )
    rows += f'<tr class="sum"><td>the refresh</td><td class="num">{run.duration_s:,.1f} s</td></tr>'
    head = '<tr><th>step</th><th class="num">wall time</th></tr>'
    return [f'<h2>Time and cost</h2><div class="card"><table>{head}{rows}</table>{_device(run)}</div>']


def _device(run: RefreshFile) -> str:
    device = run.device
    if device is None:
        return '<p class="dim">No classifier ran in this refresh, as far as it got.</p>'
    price = (
        "score.cost.dollars_per_device_hour is not set, so nothing is said of the price"
        if device.dollars is None
        else f"${device.dollars:,.2f} at score.cost.dollars_per_device_hour"
    )
    return (
        f"<p>{_count(len(run.scored), 'file')} scored on {_count(device.devices, 'device')}: "
        f"{device.device_s / 3600:.3f} device hours, {device.tokens_per_s:,.0f} classifier tokens a second and device; "
        f"{price}.</p>"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _names(run: RefreshFile, release: Release | None) -> list[str]:
    rows = [("configuration", run.config_id)]
    if release:
        rows += [("rule", release.rule_id), ("manifest of the shards", release.manifest)]
        rows += [(f"table {name}", f"version {version}") for name, version in release.tables.items()]
        rows += [(name, id) for name, id in (("ledger", release.ledger), ("source", release.source_version)) if id]
        for policy, bundle in release.bundles.items():
            rows.append((f"classifier of {policy}", f"{release.bundle_names[policy]}, bundle {bundle}"))
    return names(rows)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
