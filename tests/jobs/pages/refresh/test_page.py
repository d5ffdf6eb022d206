"""The page of a refresh: what it says, that hostile names stay text, and that a browser shows it as it is."""

import re
from html.parser import HTMLParser

import pytest

from tests.browser import opened
from tests.jobs.refreshing.report_values import HOSTILE, changes, release, report_file, told
from tokensieve.jobs.config.refresh import DriftConfig
from tokensieve.jobs.pages.refresh.page import page
from tokensieve.jobs.releases.release_report import LISTED, ReportFile, Sources

DOCUMENT = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "header",
    "h1",
    "h2",
    "h3",
    "p",
    "div",
    "span",
    "b",
}
TABLES = {"table", "tr", "th", "td", "ul", "li", "i", "br", "code", "pre", "small"}
PICTURES = {"svg", "line", "rect", "circle", "polyline", "text"}
ELEMENTS = DOCUMENT | TABLES | PICTURES


class Page(HTMLParser):
    """Elements, attributes and text, rows of tables among it."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.rows: list[list[str]] = []
        self.text = ""
        self._cell = False
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data):
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data


def drawn(file: ReportFile | None = None, warnings: tuple[str, ...] = (), made: bool = True, **fields) -> str:
    places = {"corpus": f"/data/{HOSTILE}", "root": "/data/tables"}
    return page(
        told(file, warnings=warnings, **fields), release() if made else None, file, **places, drift=DriftConfig()
    )


@pytest.fixture(scope="module")
def content() -> str:
    return drawn(report_file())


def test_counts_stand_beside_those_of_the_previous_release(content):
    rows = Page(content).rows
    assert ["", "release 21", "release 22", "difference"] in rows
    assert ["mask", "1,700", "2,000", "+300"] in rows
    assert ["hide", "0", "0", "0"] in rows
    assert ["documents in", "9,000", "10,000", "+1,000"] in rows
    assert ["tokens that bear loss", "20,900,000", "23,100,000", "+2,200,000"] in rows
    assert ["medicine", "3.333%", "3.500%", "+0.167 points"] in rows
    assert ["toxicity", "0.500%", "0.500%", "+0.000 points"] in rows


def test_the_first_release_has_nothing_beside_it():
    file = report_file(previous=None, before=None, rule_changes=(), flips=None, bundle_changes={})
    rows = Page(drawn(file, previous=None)).rows
    assert ["mask", "–", "2,000", ""] in rows
    assert ["medicine", "–", "3.500%", ""] in rows


def test_skipped_files_come_with_reason_and_advice(content):
    row = next(row for row in Page(content).rows if row[0].startswith("broken-"))
    assert row[1] == "unreadable_fileParquet magic bytes not found in <footer>"
    assert row[2] == "Put the file there again, whole; the next refresh sees that it changed."


def test_scores_rules_and_actions_that_moved_are_named(content):
    page = Page(content)
    assert "toxicity another distribution" in page.text
    assert "medicine no earlier documents of this bundle" in page.text
    assert "medicine-tiny b1b1b1b1b1b1b1b1 → medicine-<small> b2b2b2b2b2b2b2b2" in page.text
    assert ["mean change of the score", "", "+0.0625"] in page.rows
    assert ["medicine", "threshold", "0.8", "0.75"] in page.rows
    assert "258 of 8,950 documents (2.88%) get another action" in page.text
    assert ["keep → mask", "240"] in page.rows


def test_cost_and_steps(content):
    page = Page(content)
    assert ["score", "1,500.5 s"] in page.rows
    assert ["the refresh", "1,890.0 s"] in page.rows
    assert "3 files scored on 4 devices: 1.500 device hours" in page.text
    assert "$3.75 at score.cost.dollars_per_device_hour" in page.text


def test_hostile_names_stay_text_and_nothing_runs_or_loads(content):
    found = Page(content)
    assert found.elements <= ELEMENTS
    assert not {name for name in found.attributes if name.startswith("on") or name in ("href", "src", "srcset")}
    assert "<script>alert(1)</script>⟨U+202E⟩␛[31m\"'&.parquet" in found.text
    assert "\u202e" not in content
    assert "\x1b" not in content
    assert "default-src 'none'" in content
    assert "url(" not in content
    assert "@import" not in content


def test_the_same_run_gives_the_same_bytes(content):
    assert drawn(report_file()) == content


def test_a_failed_run_says_why_what_stands_and_what_to_do():
    error = "40 of 100 documents <b>quarantined</b>; see quarantine"
    content = drawn(report_file(), state="failed", error=error, error_kind="QuarantineError", exit_code=3)
    found = Page(content)
    assert "The refresh failed with QuarantineError, exit code 3." in found.text
    assert error in found.text
    assert "Release 22 stands as it was. A refresh last ended well 2026-11-22 02:31 UTC." in found.text
    assert ["mask", "1,700", "2,000", "+300"] in found.rows, "the newest release is still told"


def test_the_first_run_may_fail():
    found = Page(drawn(None, made=False, state="failed", error="no such folder", last_success_at=None, device=None))
    assert "No release yet" in found.text
    assert "There is no release yet. When the cause is gone" in found.text


def test_a_report_that_was_not_made_is_said():
    found = Page(drawn(None, warnings=("the report of release 22 was not made: <gone>",)))
    assert "The report of release 22 is missing." in found.text
    assert "the report of release 22 was not made: <gone>" in found.text


def test_long_lists_are_cut_and_counted():
    many = changes().model_copy(update={"new": tuple(f"part-{at:05d}.parquet" for at in range(LISTED + 1))})
    content = drawn(report_file(sources=Sources.of(many)))
    assert f"new (the first {LISTED} of {LISTED + 1})" in content
    assert "part-00049.parquet" in content
    assert "part-00050.parquet" not in content


def test_every_release_of_the_history_is_drawn(content):
    titles = re.findall(r"<title>(release \d+ of [^<]*)</title>", content)
    assert len(titles) == 22 * 3
    assert "release 1 of 2026-11-01: 5,000 documents" in titles
    assert "release 5 of 2026-11-05: 3.400% of the bytes for medicine" in titles


def test_a_browser_shows_it_as_it_is(content, tmp_path):
    file = tmp_path / "refresh.html"
    file.write_text(content, encoding="utf-8")
    shot = tmp_path / "refresh.png"
    shown = opened(file, tmp_path / "profile", shot)
    assert Page(shown).elements <= ELEMENTS | {"tbody"}
    assert Page(shown).rows == Page(content).rows
    assert shot.stat().st_size > 20_000
