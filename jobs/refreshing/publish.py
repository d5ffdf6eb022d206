"""The end of a refresh run: `reports/<release>.json`, `refresh.html`, `metrics.prom`, then `refresh.json` and the hook.

A variant of the tables has files of its own, `refresh-VARIANT.json` and so on. The tables are committed before this
runs, so nothing in here can harm them: what does not work is a warning in refresh.json and on standard error, not a
failed run. A report that could not be made is made by the next run.

The hook is a command of the operator's, with refresh.json on standard input, for whatever tells people. No shell. Its
output goes to standard error, so that `--json` stays one line. It may hang or fail without harm: after the time-out it
is killed with everything that it started, and what went wrong is returned as a sentence.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tokensieve.jobs.config.refresh import DriftConfig
from tokensieve.jobs.errors import InputError, VerbError
from tokensieve.jobs.pages.refresh.metrics import exposition
from tokensieve.jobs.pages.refresh.page import page
from tokensieve.jobs.releases.refresh_run import RefreshRun
from tokensieve.jobs.releases.release import Release, newest_release, releases
from tokensieve.jobs.releases.release_report import FOLDER, RefreshFile, ReportFile
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.pretrain.hashed_file import replace_file

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.config.corpus import Config
    from tokensieve.jobs.tables.store import Store


RUN, PAGE, METRICS = "refresh.json", "refresh.html", "metrics.prom"

log = logging.getLogger(__name__)


def publish(
    config: "Config", spark: "SparkSession | None", release: Release, previous: Release | None, run: RefreshRun
) -> RefreshFile:
    """Tells about a refresh that ended well, `done` or `nothing_new`: all files named above, refresh.json among them.

    Args:
        spark: None where none is open: a report that is missing (`release_report.reported`) stays so, and the page says
            that.
        release, previous: the newest release of this `tables.variant` and the one before it, None for the first.

    Returns what refresh.json holds. Raises OSError where tables.root cannot be written.
    """
    store, began, warnings = config.tables.store, time.monotonic(), []
    file = ReportFile.load(store, release.version)
    if file is None and spark is not None:
        try:
            file = _gathered(config.tables, config.refresh.drift, spark, release, previous, run)
        except InputError as error:
            warnings.append(f"the report of release {release.version} was not made: {error}")
        run = run.model_copy(
            update={
                "seconds": {**run.seconds, "report": round(time.monotonic() - began, 3)},
                "ended_at": datetime.now(UTC),
            }
        )
    _sweep(store)
    return _tell(config, release, file, run, run.ended_at, warnings)


def publish_failure(config: "Config", run: RefreshRun) -> RefreshFile | None:
    """Tells about a refresh that failed: the same files, with what was last known of the newest release.

    Call it where the error is handled, which is then raised again: nothing that fails in here hides it. Returns None
    where tables.root cannot be read or written.
    """
    store = config.tables.store
    try:
        release = newest_release(store, config.tables.variant)
        file = ReportFile.load(store, release.version) if release else None
        return _tell(config, release, file, run, _last_success(config.tables, release), [])
    except (OSError, VerbError) as error:
        log.warning("the failed refresh could not be told in %s: %s", store.uri(_file(config.tables, RUN)), error)
        return None


def _gathered(
    tables: TablesConfig,
    drift: DriftConfig,
    spark: "SparkSession",
    release: Release,
    previous: Release | None,
    run: RefreshRun,
) -> ReportFile:
    from tokensieve.jobs.refreshing.sum_up import gather

    file = gather(tables, drift, spark, release, previous, run.sources)
    file.save(tables.store)
    return file


def _tell(
    config: "Config",
    release: Release | None,
    file: ReportFile | None,
    run: RefreshRun,
    success: datetime | None,
    warnings: list[str],
) -> RefreshFile:
    store, refresh = config.tables.store, config.refresh
    told = RefreshFile(
        **run.model_dump(), last_success_at=success, report=file and file.report, warnings=tuple(warnings)
    )
    score = config.score
    priced = score.cost.dollars_per_device_hour is not None
    metrics = exposition(
        _labels(config.tables), told, release, tolerance=score.quarantine_tolerance, priced=priced
    ).encode()
    store.write(_file(config.tables, METRICS), metrics)
    if refresh.metrics_file and (trouble := _copied(metrics, Path(refresh.metrics_file))):
        told = told.model_copy(update={"warnings": (*told.warnings, trouble)})
    places = {"corpus": config.source.path, "root": config.tables.root}
    store.write(_file(config.tables, PAGE), page(told, release, file, **places, drift=refresh.drift).encode())
    content = (told.model_dump_json(indent=2) + "\n").encode()
    store.write(_file(config.tables, RUN), content)
    if refresh.hook and (trouble := run_hook(refresh.hook, content, refresh.hook_timeout_s)):
        told = told.model_copy(update={"warnings": (*told.warnings, trouble)})
    for warning in told.warnings:
        log.warning("%s", warning)
    return told


def _labels(tables: TablesConfig) -> dict[str, str]:
    """What tells this corpus's samples from another's on the same machine."""
    variant = tables.variant
    return {"root": tables.root} | ({"variant": variant} if variant else {})


def _copied(metrics: bytes, path: Path) -> str | None:
    try:
        replace_file(path, metrics)
    except OSError as error:
        return f"refresh.metrics_file: {path} cannot be written: {error.strerror}; make the folder, or name another one"
    return None


def _file(tables: TablesConfig, name: str) -> str:
    """The variant's own file of this kind."""
    stem, _, suffix = name.partition(".")
    return f"{tables.named(stem)}.{suffix}"


def _last_success(tables: TablesConfig, release: Release | None) -> datetime | None:
    """As the last refresh.json says; where that is gone or damaged, the time of the newest release."""
    try:
        return RefreshFile.model_validate_json(tables.store.read(_file(tables, RUN))).last_success_at
    except (FileNotFoundError, ValidationError):
        return release.made_at if release else None


def _sweep(store: "Store") -> None:
    """Removes the reports of releases that were vacuumed."""
    kept = {f"{version:08d}.json" for version in releases(store)}
    for name in store.names(FOLDER):
        if name not in kept:
            store.delete(f"{FOLDER}/{name}")


STANDARD_ERROR = 2


def run_hook(command: Sequence[str], content: bytes, timeout_s: float) -> str | None:
    """Runs the command and waits for it. Returns what went wrong, None if nothing did."""
    name = f"refresh.hook: {command[0]}"
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=STANDARD_ERROR, start_new_session=True)
    except OSError as error:
        return f"{name}: cannot be started: {error.strerror}; give its whole path and make it executable"
    try:
        process.communicate(content, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"{name}: killed after refresh.hook_timeout_s={timeout_s:g}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own: what the command started dies with it
            process.wait()
    code = process.returncode
    if code:
        return f"{name}: {f'exit code {code}' if code > 0 else f'killed by signal {-code}'}; its words are above"
    return None
