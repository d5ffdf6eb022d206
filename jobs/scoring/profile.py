"""What the scoring stage asks of Spark where GPUs are resources: a share of a GPU a task, Python workers of its own.

By stage-level scheduling, so that stages without a classifier keep all cores. Nothing is asked of executors: the
profile works with those that are there, on standalone, YARN and Kubernetes; local mode knows no profiles.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import SparkSession

GPUS = "spark.executor.resource.gpu.amount"
DUMP_EVERY = "spark.sql.execution.pyspark.udf.tracebackDumpIntervalSeconds"


@dataclass(frozen=True, kw_only=True)
class GpuTasks:
    """How tasks share the GPUs that Spark knows as resources: `score.tasks_per_gpu`, `score.cpus_per_gpu_task`."""

    per_gpu: int = 1
    cpus: int | None = None  # None: the task's share of spark.executor.cores, where that is set


def scoring_profile(spark: "SparkSession", device: str, tasks: GpuTasks) -> "ResourceProfile | None":
    """The profile of the scoring stage; None on CPU, without GPUs as resources, and in local mode, which has none.

    Raises:
        ConfigError: a setting of Spark's that CUDA or this profile cannot work with.
    """
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

    gpus = _gpus(spark)
    if device == "cpu" or not (gpus or device == "cuda"):
        return None
    if spark.conf.get("spark.executor.pyspark.memory", None):
        raise ConfigError(
            "spark.executor.pyspark.memory limits the address space of Python workers, and CUDA maps far more of it "
            "than it uses; unset it and give spark.executor.memoryOverhead instead, or set score.device=cpu"
        )
    if not gpus or _is_local(spark):
        return None
    needed = TaskResourceRequests().cpus(_cpus(spark, gpus, tasks)).resource("gpu", 1 / tasks.per_gpu)
    return ResourceProfileBuilder().require(needed).build


def _gpus(spark: "SparkSession") -> int:
    """GPUs of one executor."""
    return int(spark.conf.get(GPUS, "0") or 0)


def _is_local(spark: "SparkSession") -> bool:
    master = spark.conf.get("spark.master", None) or ""
    return master == "local" or master.startswith("local[")


def _cpus(spark: "SparkSession", gpus: int, tasks: GpuTasks) -> int:
    cores = int(spark.conf.get("spark.executor.cores", "0") or 0)
    if tasks.cpus is None:
        return max(1, cores // (gpus * tasks.per_gpu), int(spark.conf.get("spark.task.cpus", "1") or 1))
    if cores and tasks.cpus > cores:
        raise ConfigError(
            f"score.cpus_per_gpu_task={tasks.cpus}, but spark.executor.cores={cores}: no executor could ever "
            "run a scoring task"
        )
    return tasks.cpus


@contextmanager
def own_workers(spark: "SparkSession") -> Iterator[None]:
    """While inside, Spark runs Python stages in workers that no other stage uses; nothing without GPUs as resources.

    Spark gives a task to the worker that has been idle longest. After a wider Python stage, every task of a stage with
    one task a GPU would then run in another worker and load the model again. Spark never mixes workers whose
    environments differ, and this setting is part of it; what it does is that a task says every hour where it is.
    """
    if not _gpus(spark):
        yield
        return
    before = spark.conf.get(DUMP_EVERY)
    spark.conf.set(DUMP_EVERY, "3601s" if before == "3600s" else "3600s")  # any other value than the other stages'
    try:
        yield
    finally:
        spark.conf.set(DUMP_EVERY, before or "0s")
