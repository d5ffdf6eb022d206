"""Shows that long work moves: one line of standard error, and the same names in Spark's UI.

In a terminal the line is rewritten every second, elsewhere a new one comes now and then. A verb that knows more than
Spark's tasks puts its own words on the line (`shown`). Counts of documents never come from here: they are read back
from what was written.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


EVERY_SECONDS = 1.0
PLAIN_EVERY_SECONDS = 15.0  # where nobody watches a terminal
DESCRIPTION = "spark.job.description"

Describe = Callable[[], str | None]
"""What the line is to say now; None: nothing worth saying."""

_described: list[Describe] = []
_steps: list[str] = []


@contextmanager
def watch_tasks(session: "SparkSession", what: str, stream: TextIO | None = None) -> Iterator[None]:
    """While inside, a line tells how work goes: what `shown` says, else the running Spark stages' tasks."""
    done = threading.Event()
    thread = threading.Thread(target=report, args=(stream or sys.stderr, done), daemon=True)
    with shown(_tasks(session, what)):
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=EVERY_SECONDS)


@contextmanager
def shown(describe: Describe) -> Iterator[None]:
    """While inside, this is what the line says, if one is shown; while it says None, what was shown before."""
    _described.append(describe)
    try:
        yield
    finally:
        _described.remove(describe)


@contextmanager
def step(session: "SparkSession", name: str) -> Iterator[None]:
    """Names the Spark jobs that begin inside: their description in the UI, their tag, and `current_step`.

    Over Spark Connect only the tag is set: its server describes jobs itself.
    """
    context = session.sparkContext if hasattr(session, "_jsparkSession") else None
    before = context.getLocalProperty(DESCRIPTION) if context else None
    _steps.append(name)
    session.addTag(name)
    if context:
        context.setJobDescription(name)
    try:
        yield
    finally:
        if context:
            context.setLocalProperty(DESCRIPTION, before)  # type: ignore[arg-type]  # None takes it away
        session.removeTag(name)
        _steps.remove(name)


def current_step() -> str | None:
    """The name of the innermost `step` that runs."""
    return _steps[-1] if _steps else None


def _tasks(session: "SparkSession", what: str) -> Describe:
    """Says how many tasks of the running stages are done. Spark Connect has no status to ask: nothing is said."""
    if not hasattr(session, "_jsparkSession"):
        return lambda: None
    tracker, began = session.sparkContext.statusTracker(), time.monotonic()

    def describe() -> str | None:
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        finished = sum(stage.numCompletedTasks for stage in stages if stage)
        total = sum(stage.numTasks for stage in stages if stage)
        now = f"{finished} of {total} tasks of the running stage, {time.monotonic() - began:.0f} s"
        return f"{current_step() or what}: {now}" if total else None

    return describe


def report(stream: TextIO, done: threading.Event) -> None:
    """Writes what is to be said now and again until `done` is set."""
    terminal = stream.isatty()
    while not done.wait(EVERY_SECONDS if terminal else PLAIN_EVERY_SECONDS):
        line = next((line for describe in reversed(_described) if (line := describe())), None)
        if line:
            print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", file=stream, flush=True)
    if terminal:
        print("\r\033[K", end="", file=stream, flush=True)


def duration(seconds: float | None) -> str:
    """Such as `2 h 05 min`, `3 min 12 s`, `9 s`."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size(count: float, smallest: str = "bytes") -> str:
    """Bytes for people, in powers of 1,000; `smallest` is what one byte is called."""
    for unit in (smallest, "kB", "MB", "GB"):
        if count < 1_000:
            return f"{count:.0f} {unit}" if unit == smallest else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:,.1f} TB"
