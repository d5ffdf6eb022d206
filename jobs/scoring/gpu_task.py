"""Scoring on the GPU that Spark gave to the task, with one model a GPU however Spark changes the Python workers.

Runs in an executor, so it imports pyspark only when called. A task without a GPU resource uses the plan's
device, also under the device's lease, so that eight slots of a laptop do not load eight models.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count

import pyarrow as pa

from tokensieve.udfs.scoring.device_lease import Place
from tokensieve.udfs.scoring.score_plan import ScorePlan
from tokensieve.udfs.scoring.scorer import worker_scorer
from tokensieve.udfs.scoring.task_device import task_device, worker_lease

Score = Callable[[ScorePlan, Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]

log = logging.getLogger(__name__)
_loads = count(1)


def on_device(
    score: Score, copies: int, plan: ScorePlan, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """`score(plan, batches)` on the task's device, where at most `copies` processes have a model at any time.

    Raises ValueError as `task_device`, and what `score` raises.
    """
    plan = replace(plan, task=task_number())
    where = task_device(plan.scorer.device, gpu_address())
    if where is None:
        yield from score(plan, batches)
        return
    plan = replace(plan, scorer=replace(plan.scorer, device=where.device))
    with worker_lease().task(where.lease, copies) as place:
        _load(plan, place)
        yield from score(plan, batches)


def gpu_address() -> str | None:
    """The address of the running Spark task's GPU, None without a task or without GPUs as resources."""
    from pyspark import TaskContext

    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context else None
    return gpu.addresses[0] if gpu else None


def task_number() -> int:
    """The partition of the running Spark task, the same in every attempt; 0 without a task."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return context.partitionId() if context else 0


def _load(plan: ScorePlan, place: Place) -> None:
    """Loads the model before the first row, and says so, since what a job spends on loading is to be seen."""
    before, began = worker_scorer.cache_info().misses, time.monotonic()
    scorer = worker_scorer(plan.scorer)
    if worker_scorer.cache_info().misses > before:
        place.note("loaded")
        seconds = time.monotonic() - began
        log.info("model loaded on %s in %.1f s, load %d of this worker", scorer.device, seconds, next(_loads))
