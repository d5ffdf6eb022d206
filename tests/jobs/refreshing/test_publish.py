"""What is left behind at the end of a refresh, without Spark: the files, the hook, and what goes wrong with them."""

import json
import logging
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.refreshing.report_values import one_run, release, report_file
from tokensieve.jobs.config.corpus import Config, load_config
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.refreshing.publish import publish, publish_failure
from tokensieve.jobs.releases.release import releases
from tokensieve.jobs.releases.release_report import RefreshFile, ReportFile, reported


def configured(root: Path, *overrides: str) -> Config:
    return load_config("demo", [f"tables.root={root}", *overrides])


@pytest.fixture
def root(tmp_path) -> Path:
    """A root with release 22 and its report."""
    store = configured(tmp_path / "tables").tables.store
    assert release().create(store)
    report_file().save(store)
    return tmp_path / "tables"


def read(root: Path) -> dict[str, Any]:
    return json.loads((root / "refresh.json").read_text())


def metric(text: str, name: str) -> str:
    return next(line.split()[-1] for line in text.splitlines() if line.startswith(f"tokensieve_refresh_{name}{{"))


def test_refresh_json_is_the_run_and_the_report(root):
    told = publish(configured(root), None, release(), None, one_run())
    assert RefreshFile.model_validate(read(root)) == told
    assert (told.state, told.release, told.last_success_at, told.warnings) == ("done", 22, one_run().ended_at, ())
    assert told.report == report_file().report
    assert told.model_dump()["documents"] == release().documents
    assert "release 22" in (root / "refresh.html").read_text()
    assert metric((root / "metrics.prom").read_text(), "release_version") == "22"


def test_samples_name_the_corpus(root):
    publish(configured(root, "tables.variant=strict"), None, release(), None, one_run())
    assert (root / "refresh-strict.json").is_file()
    assert (root / "refresh-strict.html").is_file()
    assert not (root / "refresh.json").exists(), "that of another variant stays"
    lines = [line for line in (root / "metrics-strict.prom").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert all(f'root="{root}",variant="strict"' in line for line in lines)


def test_metrics_are_copied_to_the_collectors_folder(root, tmp_path):
    copy = tmp_path / "corpus.prom"
    told = publish(configured(root, f"refresh.metrics_file={copy}"), None, release(), None, one_run())
    assert copy.read_bytes() == (root / "metrics.prom").read_bytes()
    assert told.warnings == ()


def test_a_collectors_folder_that_is_missing_is_a_warning(root, tmp_path, caplog):
    config = configured(root, f"refresh.metrics_file={tmp_path}/none/corpus.prom")
    told = publish(config, None, release(), None, one_run())
    warning = (
        f"refresh.metrics_file: {tmp_path}/none/corpus.prom cannot be written: No such file or directory; "
        "make the folder, or name another one"
    )
    assert list(told.warnings) == read(root)["warnings"] == [warning]
    assert caplog.record_tuples == [("tokensieve.jobs.refreshing.publish", logging.WARNING, warning)]


def test_a_name_that_the_collector_does_not_read_is_refused(root):
    with pytest.raises(ConfigError, match=r"refresh\.metrics_file"):
        configured(root, "refresh.metrics_file=/var/lib/corpus.txt")


def test_the_hook_reads_what_lies_in_refresh_json(root, tmp_path):
    copy = tmp_path / "got.json"
    code = f"import sys; open({str(copy)!r}, 'w').write(sys.stdin.read())"
    config = configured(root).model_copy(deep=True)
    hooked = config.refresh.model_copy(update={"hook": (sys.executable, "-c", code)})
    told = publish(config.model_copy(update={"refresh": hooked}), None, release(), None, one_run())
    assert told.warnings == ()
    assert copy.read_bytes() == (root / "refresh.json").read_bytes()


def test_a_hook_that_fails_does_not_fail_the_run(root, caplog):
    told = publish(configured(root, "refresh.hook=[sh, -c, exit 4]"), None, release(), None, one_run())
    assert told.state == "done"
    assert told.warnings == ("refresh.hook: sh: exit code 4; its words are above",)
    assert [record.message for record in caplog.records] == list(told.warnings)


def test_nothing_new_is_told_with_what_the_newest_release_has(root):
    publish(configured(root), None, release(), None, one_run())
    later = one_run().ended_at + timedelta(days=1)
    idle = one_run(state="nothing_new", ended_at=later, sources={"kept": 412}, device=None, seconds={}, ran=())
    told = publish(configured(root), None, release(), None, idle)
    assert (told.state, told.last_success_at, told.sources.new) == ("nothing_new", later, ())
    assert told.report is not None
    assert told.report.sources.names["new"] == ("part-0410.parquet", "part-0411.parquet")
    assert "Nothing was new. Below is what release 22 has" in (root / "refresh.html").read_text()


def test_a_failed_run_keeps_the_last_success(root):
    config = configured(root)
    publish(config, None, release(), None, one_run())
    failed = one_run(state="failed", ended_at=one_run().ended_at + timedelta(days=1), error="no space", exit_code=1)
    for _ in range(2):
        told = publish_failure(config, failed)
    assert told is not None
    assert (told.state, told.last_success_at) == ("failed", one_run().ended_at)
    metrics = (root / "metrics.prom").read_text()
    assert metric(metrics, "last_success_timestamp_seconds") == str(one_run().ended_at.timestamp())
    assert metric(metrics, "exit_code") == "1"
    assert "no space" in (root / "refresh.html").read_text()


@pytest.mark.parametrize("damage", ["{", '{"format": "tokensieve-night/7"}', None])
def test_without_a_readable_refresh_json_the_last_success_is_the_newest_release(root, damage):
    if damage is not None:
        (root / "refresh.json").write_text(damage)
    told = publish_failure(configured(root), one_run(state="failed", error="x", exit_code=1))
    assert told is not None
    assert told.last_success_at == release().made_at


def test_the_first_run_may_fail(tmp_path):
    told = publish_failure(configured(tmp_path / "new"), one_run(state="failed", error="x", release=None, device=None))
    assert told is not None
    assert (told.last_success_at, told.report) == (None, None)
    assert "No release yet" in (tmp_path / "new" / "refresh.html").read_text()


def test_a_failure_that_cannot_be_told_does_not_hide_the_error(tmp_path, caplog):
    (tmp_path / "tables").write_text("a file in the place of the folder")
    assert publish_failure(configured(tmp_path / "tables"), one_run(state="failed", error="x")) is None
    assert "refresh.json" in caplog.text


def test_a_report_that_is_missing_or_damaged_can_be_made_again(root):
    store = configured(root).tables.store
    assert reported(store, 22)
    (root / "reports" / "00000022.json").write_text('{"format": "tokensieve-release-report/0"}')
    assert ReportFile.load(store, 22) is None
    assert not reported(store, 22)
    told = publish(configured(root), None, release(), None, one_run())
    assert told.report is None
    assert "The report of release 22 is missing" in (root / "refresh.html").read_text()


def test_reports_of_releases_that_were_vacuumed_go(root):
    store = configured(root).tables.store
    report_file(release=7, history=()).save(store)
    publish(configured(root), None, release(), None, one_run())
    assert releases(store) == [22]
    assert store.names("reports") == ["00000022.json"]


def test_the_files_are_whole_or_as_before(root):
    """Whoever reads them while they are written: no other file lies beside them afterwards."""
    publish(configured(root), None, release(), None, one_run())
    shutil.rmtree(root / "reports")
    shutil.rmtree(root / "releases")
    assert sorted(path.name for path in root.iterdir()) == ["metrics.prom", "refresh.html", "refresh.json"]
