"""Scoring on the GPU that Spark gave to the task, with one model a GPU however Spark changes the Python workers.

Runs in an executor, so it imports pyspark and torch only when called. A task without a GPU resource uses the plan's
device, also under the device's lease, so that eight slots of a laptop do not load eight models.
"""

import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count

import pyarrow as pa

from udfs.scoring.device_lease import DeviceLease, Place
from udfs.scoring.score_plan import ScorePlan
from udfs.scoring.scorer import worker_scorer

Score = Callable[[ScorePlan, Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]

log = logging.getLogger(__name__)
_loads = count(1)


@dataclass(frozen=True, kw_only=True)
class TaskDevice:
    """Where a task computes: `device` as torch names it, `lease` as all processes of this machine name it."""

    device: str
    lease: str


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


def task_device(wanted: str, address: str | None) -> TaskDevice | None:
    """The device of a task, None for a CPU that no GPU resource stands for.

    Args:
        wanted: auto, cpu or cuda. address: the GPU that Spark gave to the task, None where GPUs are no resource.

    A process that sees one GPU, as in a container, uses it whatever its address is outside. Where CUDA sees none, the
    scorer decides: auto is the CPU, cuda an error.

    Raises:
        ValueError: the address is no index of one of the several GPUs that this process sees.
    """
    visible = 0 if wanted == "cpu" else _visible_gpus()
    if visible:
        at = _index(address, visible)
        return TaskDevice(device=f"cuda:{at}", lease=_physical_name(at))
    if wanted == "cpu" or address is None:
        return None
    return TaskDevice(device=wanted, lease=f"gpu-{address}")


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


@lru_cache(maxsize=1)
def worker_lease() -> DeviceLease:
    """The lease of this Python worker."""
    return DeviceLease(drop_models)


def drop_models() -> None:
    """Frees this worker's models, on the device too; the next task loads them again."""
    worker_scorer.cache_clear()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _load(plan: ScorePlan, place: Place) -> None:
    """Loads the model before the first row, and says so, since what a job spends on loading is to be seen."""
    before, began = worker_scorer.cache_info().misses, time.monotonic()
    scorer = worker_scorer(plan.scorer)
    if worker_scorer.cache_info().misses > before:
        place.note("loaded")
        seconds = time.monotonic() - began
        log.info("model loaded on %s in %.1f s, load %d of this worker", scorer.device, seconds, next(_loads))


def _visible_gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _index(address: str | None, visible: int) -> int:
    if visible == 1 or address is None:
        return 0
    if not address.isdigit() or int(address) >= visible:
        raise ValueError(
            f"this task was given GPU {address}, but its process sees the GPUs 0 to {visible - 1}; let the discovery "
            "script print indices as nvidia-smi does, and give the process all GPUs or only its own"
        )
    return int(address)


def _physical_name(at: int) -> str:
    """Differs between two GPUs of a machine even where containers number each as 0. A slice of one has its own name."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return visible if visible.startswith("MIG-") else f"cuda-{torch.cuda.get_device_properties(at).uuid}"
