"""Scores demo text on a cluster of two executors with one made-up GPU each, and prints what happened as JSON.

    python tests/jobs/scoring/gpu_cluster.py FOLDER

A program of its own, since a process has one Spark session. The GPUs come from a discovery script that prints 0 the
first time and 1 the second, as on a machine whose two workers were given one GPU each.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyspark

from tokensieve.jobs import score
from tokensieve.jobs.config.corpus import load_config
from tokensieve.jobs.scoring.stage import GpuTasks, own_workers, scoring_profile
from tokensieve.jobs.source.scan import spark_schema
from tokensieve.jobs.spark.session import open_session
from tokensieve.udfs.files.installed import conf_folder

DOCUMENTS = 32
DISCOVERY = """#!/bin/sh
n=0
while ! mkdir "$0.$n" 2>/dev/null; do n=$((n + 1)); done
echo "{\\"name\\": \\"gpu\\", \\"addresses\\": [\\"$n\\"]}"
"""
PROBE = pa.schema(
    [
        ("executor", pa.int64()),
        ("pid", pa.int64()),
        ("gpu", pa.string()),
        ("began", pa.float64()),
        ("ended", pa.float64()),
        ("models", pa.int64()),
    ]
)


def probe(seconds: float, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row a task: where and when it ran, and how many scorers are alive in its process."""
    import gc

    from tokensieve.jobs.scoring.gpu_task import gpu_address
    from tokensieve.udfs.scoring.scorer import Scorer

    began = time.time()
    for _ in batches:
        pass
    time.sleep(seconds)
    row = {
        "executor": os.getppid(),  # the daemon that forks an executor's workers
        "pid": os.getpid(),
        "gpu": gpu_address(),
        "began": began,
        "ended": time.time(),
        "models": sum(isinstance(one, Scorer) for one in gc.get_objects()),
    }
    yield pa.RecordBatch.from_pylist([row], schema=PROBE)


def spark_conf(folder: Path) -> dict[str, str]:
    script = folder / "discover.sh"
    script.write_text(DISCOVERY)
    script.chmod(0o700)
    gpus = {
        f"spark.{part}.resource.gpu.{key}": value
        for part in ("worker", "executor")
        for key, value in (("amount", "1"), ("discoveryScript", str(script)))
    }
    # Three short-lived Java processes on a test's cores: no time for the second compiler, no threads for collectors.
    java = {
        f"spark.{part}.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" for part in ("driver", "executor")
    }
    both = {
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "150s",
    }
    return gpus | java | both | {"spark.executor.memory": "1g", "spark.executorEnv.TMPDIR": str(folder)}


def spark_home(folder: Path) -> Path:
    """The installed Spark under another name: executors of a local cluster write below it."""
    home = folder / "spark"
    home.mkdir()
    for part in ("bin", "jars", "python"):
        (home / part).symlink_to(Path(pyspark.__file__).parent / part)
    return home


def demo_text(folder: Path) -> None:
    """Some of the demo's documents: enough for several tasks an executor."""
    table = pq.read_table(conf_folder() / "demo" / "demo-00000-of-00002.parquet").slice(0, DOCUMENTS)
    folder.mkdir()
    pq.write_table(table, folder / "demo.parquet")


def journal(folder: Path) -> list[list[str]]:
    """The leases' lines in order of time: time, process, event, device and place."""
    files = (folder / f"tokensieve-leases-{os.getuid()}").glob("*.lease")
    return sorted([*line.split(), file.stem] for file in files for line in file.read_text().splitlines())


def main(folder: Path) -> None:
    os.environ["SPARK_HOME"] = str(spark_home(folder))
    demo_text(folder / "source")
    places = [f"source.path={folder / 'source'}", f"tables.root={folder / 'tables'}"]
    config = load_config(
        "demo",
        ["spark.master=local-cluster[2,2,1024]", "score.partition_mb=0.02", "spark.shuffle_partitions=1", *places],
    )
    settings = config.spark.model_copy(update={"conf": spark_conf(folder)})
    spark = open_session(settings, delta=False)

    def tasks(seconds: float, profile: Any = None) -> list[dict[str, Any]]:
        rows = spark.range(0, 6, 1, 6).mapInArrow(partial(probe, seconds), spark_schema(PROBE), profile=profile)
        return [row.asDict() for row in rows.collect()]

    found: dict[str, Any] = {"wide": tasks(0.3)}
    with own_workers(spark):
        found["profile"] = tasks(0.1, scoring_profile(spark, "auto", GpuTasks()))
        found["spoilt"] = tasks(0.3)  # now the scoring stage's own workers are two an executor
    found["score"] = score.run(config, spark)
    found["journal"] = journal(folder)
    with own_workers(spark):
        found["after"] = tasks(0.3)
    spark.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
