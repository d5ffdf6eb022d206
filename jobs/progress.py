"""Shows that long work moves: how many Spark tasks are done, on one line of standard error.

Counts of documents do not come from here: they are read back from what was written. Over Spark Connect there is no
status to poll, and nothing is shown.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EVERY_SECONDS = 2.0
PLAIN_EVERY_SECONDS = 20.0  # where nobody watches a terminal, a line each time


@contextmanager
def watch_tasks(session: "SparkSession", what: str) -> Iterator[None]:
    """While inside, reports the running stages' tasks under the name `what`."""
    if not hasattr(session, "_jsparkSession"):
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_report, args=(session, what, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=EVERY_SECONDS)


def _report(session: "SparkSession", what: str, done: threading.Event) -> None:
    terminal = sys.stderr.isatty()
    began = time.monotonic()
    tracker = session.sparkContext.statusTracker()
    while not done.wait(EVERY_SECONDS if terminal else PLAIN_EVERY_SECONDS):
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        finished = sum(stage.numCompletedTasks for stage in stages if stage)
        total = sum(stage.numTasks for stage in stages if stage)
        if total:
            line = f"{what}: {finished} of {total} tasks of the running stage, {time.monotonic() - began:.0f} s"
            print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
    if terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
