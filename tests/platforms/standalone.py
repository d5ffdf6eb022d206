"""A standalone Spark cluster of real processes on this machine: a master, and workers that can be killed."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.platforms.processes import free_port, running, wait_for

pyspark = pytest.importorskip("pyspark", reason="the Spark verbs need tokensieve[spark]")
SPARK_CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"
SPARK_SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"
_DEPLOY = "org.apache.spark.deploy"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """`address`: spark://host:port; `workers`: their process groups, executors included."""

    address: str
    workers: tuple[int, ...]

    def lose(self, worker: int) -> None:
        """Kills a worker and its executors, as when their machine goes down."""
        os.killpg(self.workers[worker], signal.SIGKILL)


@contextmanager
def standalone(folder: Path, environment: Mapping[str, str]) -> Iterator[Cluster]:
    """One master and two workers with a core each; executors run in `folder/work`."""
    port = free_port()
    address = f"spark://127.0.0.1:{port}"
    environment = {**environment, "SPARK_WORKER_DIR": str(folder / "work")}
    master = [f"{_DEPLOY}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    worker = [f"{_DEPLOY}.worker.Worker", "--cores", "1", "--memory", "1g", "--webui-port", "0", address]
    with ExitStack() as stack:
        pids = [
            stack.enter_context(running([str(SPARK_CLASS), *words], folder / f"{name}.log", folder, environment))
            for name, words in (("master", master), ("worker-1", worker), ("worker-2", worker))
        ]
        wait_for(folder / "master.log", "Registering worker", times=2)
        yield Cluster(address=address, workers=tuple(pids[1:]))
