"""Watches a scoring run through the heartbeats of its tasks, once a second, from a thread of the driver.

A folder below tables.root that tasks write to and the driver reads: it works over Spark Connect too. A request a second
and task is nothing for an object store, so there Spark's own count of tasks is the line. Nothing that goes wrong here
stops the run.
"""

import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TextIO

from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.scoring.snapshot import Pace, Snapshot, device_figures
from tokensieve.jobs.source.listing import Work
from tokensieve.jobs.spark.progress import current_step, shown
from tokensieve.jobs.tables.store import Store
from tokensieve.udfs.scoring.heartbeat import NAME, Heartbeat, read_heartbeat

FOLDER = "_progress"  # readers of Parquet folders skip names that begin with _
EVERY_SECONDS = 1.0
REST = 9  # times as long as a look took, at least, until the next: 100,000 tasks are looked at less often

log = logging.getLogger(__name__)


class Watch:
    """Looks at the heartbeats of one run in `folder`."""

    def __init__(self, folder: Path, work: Work, lines: TextIO | None = None, began: float = 0.0) -> None:
        self.folder = folder
        self._pace = Pace(work, began)
        self._lines = lines
        self._beats: dict[str, tuple[tuple[int, int], Heartbeat]] = {}
        self._last: Snapshot | None = None

    def look(self, now: float, step: str | None = None) -> Snapshot:
        """The state at `now`, as `line` will say it; also written as a JSON line."""
        self._last = self._pace.snapshot(self.beats(), now, step)
        if self._lines is not None:
            try:
                print(self._last.json(), file=self._lines, flush=True)
            except OSError as error:
                log.warning("no more JSON lines of the progress, scoring goes on: %s", error)
                self._lines = None
        return self._last

    def line(self) -> str | None:
        """What the last look saw; None while no task has begun, and once all is scored."""
        last = self._last
        return last.line() if last and last.tasks_begun and last.share < 1 else None

    def device(self) -> dict[str, Any]:
        """What the devices did, to be asked when the run is no longer watched: see `device_figures`."""
        return device_figures([beat for _, beat in self._beats.values()])

    def beats(self) -> list[Heartbeat]:
        """What every task last said; files that have not changed are not read again."""
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if fnmatch(entry.name, NAME):
                    self._read(entry)
        return [beat for _, beat in self._beats.values()]

    def _read(self, entry: os.DirEntry[str]) -> None:
        status = entry.stat()
        # A clock of milliseconds may miss a replacement, a new file does not.
        version = status.st_mtime_ns, status.st_ino
        if entry.name not in self._beats or self._beats[entry.name][0] != version:
            beat = read_heartbeat(Path(entry.path))
            if beat is not None:
                self._beats[entry.name] = (version, beat)


@contextmanager
def watch_scoring(store: Store, work: Work, progress_json: str | None) -> Iterator[Watch | None]:
    """While inside, the run whose tasks write to `folder` is watched; at the end the folder is gone.

    Args:
        store: of the tables; None is given for one that is no folder. progress_json: `score.progress_json`.

    Raises ConfigError: that file cannot be written.
    """
    if not store.local:
        if progress_json:
            raise ConfigError("score.progress_json needs a tables.root that is a local or mounted folder; unset it")
        yield None
        return
    home = store.path() / FOLDER
    for leftover in home.glob("run-*"):  # of a driver that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    folder = home / f"run-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    lines = _opened(Path(progress_json) if progress_json else home / "score.jsonl")
    watch, done = Watch(folder, work, lines, time.monotonic()), threading.Event()
    thread = threading.Thread(target=_every_second, args=(watch, done), name="watch", daemon=True)
    try:
        with lines, shown(watch.line):
            thread.start()
            try:
                yield watch
            finally:
                done.set()
                thread.join()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _every_second(watch: Watch, done: threading.Event) -> None:
    pause = EVERY_SECONDS
    while not done.wait(pause):
        began = time.monotonic()
        watch.look(began, current_step())
        pause = max(EVERY_SECONDS, REST * (time.monotonic() - began))
    watch.look(time.monotonic(), current_step())


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"score.progress_json: {path} cannot be written: {error}") from error
