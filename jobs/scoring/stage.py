"""The scoring stage: the source's documents through the classifier, as a DataFrame of scored rows.

Where GPUs are resources of Spark's, the stage asks for a share of one a task, by stage-level scheduling, so that stages
without a classifier keep all cores. Nothing is asked of executors: the profile works with those that are there, on
standalone, YARN and Kubernetes; local mode knows no profiles.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.scoring.gpu_task import on_device
from tokensieve.jobs.source.files import id_column
from tokensieve.jobs.source.scan import FileScan, TableScan, spark_schema
from tokensieve.udfs.scoring.score_plan import ScorePlan
from tokensieve.udfs.scoring.score_rows import score_rows, score_splits
from tokensieve.udfs.scoring.scorer import ScorerSettings

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import DataFrame, SparkSession


GPUS = "spark.executor.resource.gpu.amount"
DUMP_EVERY = "spark.sql.execution.pyspark.udf.tracebackDumpIntervalSeconds"


@dataclass(frozen=True, kw_only=True)
class GpuTasks:
    """How tasks share the GPUs that Spark knows as resources: `score.tasks_per_gpu`, `score.cpus_per_gpu_task`."""

    per_gpu: int = 1
    cpus: int | None = None  # None: the task's share of spark.executor.cores, where that is set


def score_plan(work: FileScan | TableScan, scorer: ScorerSettings) -> ScorePlan:
    """What each task of the stage is told: the columns to read, and the classifiers to score them with."""
    if isinstance(work, FileScan):
        found = work.listing
        return ScorePlan(schema=found.schema, text=found.text, id=found.id, scorer=scorer, storage=work.storage)
    id_name = id_column(work.columns, work.schema.names)
    return ScorePlan(schema=work.schema, text=work.columns.text, id=id_name, scorer=scorer)


def scored(work: FileScan | TableScan, spark: "SparkSession", plan: ScorePlan, gpu: GpuTasks) -> "DataFrame":
    """The documents as `ScorePlan.output_schema`. Raises InputError for a column type that Spark does not have."""
    schema = spark_schema(plan.output_schema())
    if isinstance(work, FileScan) and not work.listing.splits:  # nobody is to load a model for nothing
        return spark.createDataFrame([], schema)
    if isinstance(work, FileScan):
        rows, score = work.tasks(spark), score_splits
    else:
        rows, score = work.provenanced(), score_rows
    profile = scoring_profile(spark, plan.scorer.device, gpu)
    return rows.mapInArrow(partial(on_device, score, gpu.per_gpu, plan), schema=schema, profile=profile)


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
