"""A Spark driver that runs verbs on command, in a session of its own: how long each took, and what it held in memory.

In local mode the JVM is driver and executor at once. So the driver's memory is taken as what lives on the JVM's heap
after a collection, the median while a verb ran, and the largest resident size of the driver's Python process, which
no Python worker shares. Looking costs time: a run is either timed or looked at.
"""

import re
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from tests.bench.scoring.child import serve
from tokensieve.jobs.config.corpus import Config
from tokensieve.jobs.spark.session import SparkConfig, open_session

EVERY_S = 0.5


class Driver:
    """The session and the verbs that run in it."""

    def __init__(self) -> None:
        self.session = open_session(SparkConfig(master="local[2]", app_name="bench"), delta=False)

    def run(self, verb: str, config: dict[str, Any], watch: bool = False) -> dict[str, Any]:
        """Runs a verb: its result, wall and CPU seconds of all processes; with `watch` also `driver_mb`."""
        wall, cpu = time.perf_counter(), _cpu_s()
        checked = Config.model_validate(config)
        with self._watched() if watch else _nothing() as seen:
            result = import_module(f"tokensieve.jobs.{verb}").run(checked, self.session)
        times = {"wall_s": time.perf_counter() - wall, "cpu_s": _cpu_s() - cpu}
        return times | {"result": result} | ({"driver_mb": seen} if watch else {})

    def multiply(self, config: dict[str, Any], times: int) -> dict[str, Any]:
        """Every row of the scores table so many times, under ids of their own, as if all had been scored."""
        from pyspark.sql import functions as F

        scores = Config.model_validate(config).tables.table("scores")
        commit = scores.commit()
        assert commit is not None
        rows = scores.read(self.session)
        copies = rows.crossJoin(self.session.range(times).withColumnRenamed("id", "copy"))
        copies = copies.withColumn("doc_id", F.concat_ws("-", "doc_id", "copy")).drop("copy")
        count = {"in": times * rows.count()}
        new = {"batch": f"{commit.batch}x{times}", "counts": count, "ledger": None}  # of no source file
        scores.replace(copies, commit.model_copy(update=new))
        return count

    @contextmanager
    def _watched(self) -> Iterator[dict[str, float]]:
        """While inside, looks at both memories; they are there at the end, in MB."""
        seen: dict[str, float] = {}
        heaps, done = [self._live_heap()], threading.Event()

        def look() -> None:
            while not done.wait(EVERY_S):
                heaps.append(self._live_heap())

        Path("/proc/self/clear_refs").write_text("5")  # forgets the largest resident size so far
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join()
            seen |= {"jvm_live_heap": statistics.median(heaps), "python_rss": _largest_rss()}

    def _live_heap(self) -> float:
        java: Any = self.session.sparkContext._jvm
        java.System.gc()
        runtime = java.Runtime.getRuntime()
        return (runtime.totalMemory() - runtime.freeMemory()) / 1e6


@contextmanager
def _nothing() -> Iterator[dict[str, float]]:
    yield {}


def _cpu_s() -> float:
    """CPU seconds of this process, the JVM and its Python workers, those that have ended included."""
    total, this = 0.0, psutil.Process()
    for process in (this, *this.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _largest_rss() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1e3


def main() -> None:
    began = time.perf_counter()
    driver = Driver()
    started = time.perf_counter() - began

    def do(what: str, **command: Any) -> dict[str, Any]:
        return {"seconds": started} if what == "start" else getattr(driver, what)(**command)

    serve(do)


if __name__ == "__main__":
    main()
