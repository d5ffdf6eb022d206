"""Reports of real refreshes over documents whose scores can be worked out in the head: A to Z are forbidden bytes."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.jobs.capitals import capitals_bundle, capitals_config, write_documents
from tests.jobs.refreshing.test_drift import histogram
from tokensieve.jobs import refresh
from tokensieve.jobs.config.corpus import Config
from tokensieve.jobs.errors import QuarantineError
from tokensieve.jobs.refreshing.sum_up import gather
from tokensieve.jobs.releases.refresh_run import SourceChanges
from tokensieve.jobs.releases.release import Release, newest_release
from tokensieve.jobs.releases.release_report import ReleaseReport, ReportFile
from tokensieve.udfs.scores.count_scores import on_grid

pytestmark = pytest.mark.slow

CALM = {f"calm-{at}": "all is quiet" for at in range(6)}
LOUD = {"loud": "the word ASPIRIN is", "two": "HE and SHE", "shout": "LOUD"}
MORE = {"more": "one BIG word", "quiet": "none", "null": None, "single": "a Lone letter"}


def grid(text: str, logit: float = 4) -> int:
    """Where a document's score lies: the mean of its bytes' logits."""
    capitals = sum(letter.isupper() for letter in text)
    return round(16 * logit * (2 * capitals / len(text) - 1)) + 128


def grids(*texts: str, logit: float = 4) -> tuple[int, ...]:
    """The histogram of documents."""
    counts_B = [0] * 256
    for text in texts:
        counts_B[grid(text, logit)] += 1
    return tuple(counts_B)


def text_bytes(*documents: dict[str, Any]) -> int:
    return sum(len(text) for part in documents for text in part.values() if text)


class Corpus:
    """A source that changes, and the refreshes over it."""

    def __init__(self, folder: Path, repository: Path, spark: Any, format: str) -> None:
        self.folder, self._repository, self._spark = folder, repository, spark
        self._always = (f"tables.format={format}", "refresh.drift.min_documents=2", "refresh.deleted=retract")

    def config(self, *overrides: str) -> Config:
        return capitals_config(self.folder, self._repository, *self._always, *overrides)

    def put(self, name: str, documents: dict[str, str | None]) -> None:
        write_documents(self.folder / "source", documents, f"{name}.parquet")

    def one_run(self, *overrides: str) -> SimpleNamespace:
        """Runs it: the refresh as refresh.json has it, the newest release and what was kept of it."""
        config = self.config(*overrides)
        told = refresh.run(config, lambda: self._spark)
        release = newest_release(config.tables.store, None)
        assert release is not None
        kept = ReportFile.load(config.tables.store, release.version)
        assert kept is not None
        self._sums_are_those_of_a_whole_count(config, release, kept.report)
        said = json.loads((config.tables.folder / "refresh.json").read_text())
        assert ReleaseReport.model_validate(said["report"]) == kept.report
        return SimpleNamespace(told=told, release=release, report=kept.report, profile=kept.profiles["capitals"])

    def _sums_are_those_of_a_whole_count(self, config: Config, release: Release, report: ReleaseReport) -> None:
        whole = gather(config.tables, config.refresh.drift, self._spark, release, None, SourceChanges())
        assert report.totals == whole.report.totals


@pytest.fixture
def corpus(request, tmp_path, repository, spark) -> Corpus:
    return Corpus(tmp_path, repository, spark, request.param)


BOTH = pytest.mark.parametrize("corpus", ["parquet", "delta"], indirect=True)


@BOTH
def test_runs_are_told_by_what_changed(corpus):
    corpus.put("a", CALM)
    corpus.put("b", LOUD)
    first = corpus.one_run()
    assert first.report.before is None
    assert first.report.sources.counts["new"] == 2
    assert first.report.totals.documents == {"in": 9, "keep": 6, "mask": 2, "hide": 0, "drop": 1, "quarantine": 0}
    assert first.report.totals.text_bytes == text_bytes(CALM, LOUD) == 72 + 19 + 10 + 4
    assert first.report.totals.forget_bytes == {"capitals": 7 + 2 + 3 + 4}
    assert first.report.drift["capitals"].verdict == "no_reference"
    assert first.profile.documents_B == grids(*CALM.values(), *LOUD.values())
    assert sum(first.profile.tokens_B) == text_bytes(CALM, LOUD)

    # A new shard: only its documents are counted, and held against those of the first refresh.
    corpus.put("c", MORE)
    second = corpus.one_run()
    assert second.report.before == first.report.totals
    assert second.report.totals.text_bytes == text_bytes(CALM, LOUD, MORE)
    assert second.report.totals.forget_bytes == {"capitals": 16 + 3}
    assert second.report.totals.documents["quarantine"] == 1
    scored = [text for text in MORE.values() if text]
    assert second.profile.documents_B == grids(*scored)
    assert second.profile.reference_documents_B == first.profile.documents_B
    drift = second.report.drift["capitals"]
    assert (drift.difference.before, drift.difference.after) == (9, 3)
    assert drift.tokens_before.above == 16 / 105
    assert drift.tokens_after.above == 4 / len("".join(scored))

    # It is republished, and another one goes: their old rows leave the sums.
    corpus.put("c", {"more": "one word"})
    (corpus.folder / "source" / "b.parquet").unlink()
    third = corpus.one_run()
    assert (third.report.sources.names["changed"], third.report.sources.names["gone"]) == (
        ("c.parquet",),
        ("b.parquet",),
    )
    assert third.report.totals.text_bytes == text_bytes(CALM) + 8
    assert third.report.totals.forget_bytes == {"capitals": 0}
    assert sum(third.profile.reference_documents_B) == 12, "a document counts in each night that brought it"
    assert [point.documents for point in third.report.history] == [9, 13, 7]
    assert third.report.last_new_at == third.release.made_at

    # Another rule decides again; nothing was scored, so there is nothing to hold against anything.
    corpus.put("d", {"d": "x Single y", "e": "z"})
    corpus.one_run()
    rule = corpus.one_run("policies.capitals.rule.min_tokens=1")
    assert [(change.setting, change.before, change.after) for change in rule.report.rule_changes] == [
        ("min_tokens", "2", "1")
    ]
    assert [(move.before, move.after, move.documents) for move in rule.report.flips.moves] == [("keep", "mask", 1)]
    assert rule.report.flips.compared == 9
    assert rule.report.drift["capitals"].verdict == "nothing_new"
    assert rule.report.last_new_at < rule.release.made_at


@BOTH
def test_another_bundle_is_held_against_the_old_one_on_the_same_documents(corpus):
    corpus.put("a", CALM | LOUD)
    before = corpus.one_run()
    milder = capitals_bundle(corpus.folder / "milder", logit=2)
    corpus.put("b", {"new": "only the new bundle saw this"})
    after = corpus.one_run(f"policies.capitals.bundle={milder.path}")
    change = after.report.bundle_changes["capitals"]
    assert (change.before, change.after) == (before.release.bundles["capitals"], milder.bundle_id)
    assert change.name_after == str(milder.path)
    assert (change.difference.before, change.difference.after) == (9, 9), "the new document is not among them"
    texts = [*CALM.values(), *LOUD.values()]
    same = after.profile.other_bundle
    assert (same.before_B, same.after_B) == (grids(*texts), grids(*texts, logit=2))
    logits = [4 * (2 * sum(map(str.isupper, text)) / len(text) - 1) for text in texts]
    moved = np.mean([1 / (1 + np.exp(-logit / 2)) - 1 / (1 + np.exp(-logit)) for logit in logits])
    assert change.mean_change == pytest.approx(moved, abs=1e-5)
    assert change.correlation == pytest.approx(1, abs=1e-3)
    assert after.report.flips.moves == (), "the sign of a byte's logit is the same"
    assert after.report.drift["capitals"].verdict == "no_reference", "scores of two bundles are not mixed"
    assert sum(after.profile.known_documents_B) == 10


@pytest.mark.parametrize("corpus", ["parquet"], indirect=True)
def test_a_run_that_died_before_its_report_is_told_by_the_next(corpus):
    corpus.put("a", CALM)
    corpus.one_run()
    corpus.put("b", LOUD)
    whole = corpus.one_run()
    reports = corpus.folder / "tables" / "reports"
    expected = (reports / "00000002.json").read_bytes()
    (reports / "00000002.json").unlink()
    again = corpus.one_run()
    assert again.told.ran == ("report",)
    assert again.release == whole.release
    assert (reports / "00000002.json").read_bytes() == expected

    # A predecessor without one: all of its documents are the reference, and the totals are still those of all rows.
    for name in ("00000001.json", "00000002.json"):
        (reports / name).unlink()
    corpus.put("c", MORE)
    third = corpus.one_run()
    assert sum(third.profile.reference_documents_B) == 9
    assert third.report.before == whole.report.totals


@pytest.mark.parametrize("corpus", ["parquet"], indirect=True)
def test_a_run_above_the_tolerance_is_told_and_the_hook_hears_it(corpus, tmp_path):
    corpus.put("a", CALM)
    first = corpus.one_run()
    corpus.put("b", {"null": None, "fine": "text"})
    copy = tmp_path / "heard.json"
    script = tmp_path / "hear.py"
    script.write_text(f"import sys; open({str(copy)!r}, 'w').write(sys.stdin.read())")
    strict = corpus.config("score.quarantine_tolerance=0.1", f"refresh.hook=[{sys.executable}, {script}]")
    with pytest.raises(QuarantineError):
        refresh.run(strict, lambda: corpus._spark)
    heard = json.loads(copy.read_text())
    assert heard == json.loads((corpus.folder / "tables" / "refresh.json").read_text())
    assert (heard["state"], heard["error_kind"], heard["exit_code"]) == ("failed", "QuarantineError", 3)
    assert heard["gate"]["quarantined"] == 1
    assert heard["last_success_at"] == json.loads(first.told.model_dump_json())["last_success_at"]
    assert heard["report"]["release"] == 1, "what stands is still told"
    metrics = (corpus.folder / "tables" / "metrics.prom").read_text()
    assert 'of="written"} 0.5' in metrics
    assert 'state="failed"} 1.0' in metrics
    assert "could not be told" not in (corpus.folder / "tables" / "refresh.html").read_text()


def test_the_grid_of_these_tests_is_the_codecs():
    score = 1 / (1 + np.exp(-4 * (2 * 7 / 19 - 1)))
    assert on_grid(np.array([score]))[0] == grid("the word ASPIRIN is")
    assert grids("LOUD") == tuple(histogram(q192=1))
