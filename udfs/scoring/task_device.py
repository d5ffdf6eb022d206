"""Which device a task computes on, and what another worker makes of it when it wants that device.

Torch is imported only to ask it for GPUs: a process that never sees one never loads CUDA.
"""

import gc
import os
import sys
from dataclasses import dataclass
from functools import lru_cache

from tokensieve.udfs.scoring.device_lease import DeviceLease
from tokensieve.udfs.scoring.scorer import worker_scorer


@dataclass(frozen=True, kw_only=True)
class TaskDevice:
    """Where a task computes: `device` as torch names it, `lease` as all processes of this machine name it."""

    device: str
    lease: str


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
