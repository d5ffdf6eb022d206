"""torch's process group for one block of code, and nothing left behind.

Under torchrun the ranks come from the environment; otherwise the group has this process alone and needs no port and
no environment variable, so it also works inside a Spark driver.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, PrefixStore
from torch.distributed.rendezvous import rendezvous

TORCHRUN_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

_OPENED = itertools.count()


class ProcessGroupError(RuntimeError):
    """The process already has a process group, so a run cannot have its own."""


def under_torchrun() -> bool:
    """True when torchrun (or a launcher that speaks its language) started this process."""
    return all(name in os.environ for name in TORCHRUN_VARIABLES)


def world_size() -> int:
    """Processes that train together: torchrun's number, or this one alone."""
    return int(os.environ["WORLD_SIZE"]) if under_torchrun() else 1


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """A gloo (cpu) or nccl (cuda) group for the block. Raises ProcessGroupError when one exists."""
    if dist.is_initialized():
        raise ProcessGroupError("torch.distributed is initialised already; train in a process of its own")
    backend = "nccl" if device.type == "cuda" else "gloo"
    if under_torchrun():
        store, rank, size = next(rendezvous("env://"))
        # A prefix of its own: the keys of an earlier group of these processes would answer for those of this one.
        own = PrefixStore(f"group-{next(_OPENED)}", store)
        dist.init_process_group(backend, store=own, rank=rank, world_size=size)
    else:
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()
