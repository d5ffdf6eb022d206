"""Megatron's parallel state for one block of code: processes cut into tensor, pipeline and data parallel."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel import random as parallel_random

from tokensieve.pretrain.training.config import ParallelConfig


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among all, and in each direction of the cut."""

    rank: int
    world_size: int
    data: int
    data_size: int
    tensor: int
    tensor_size: int
    pipeline: int
    pipeline_size: int

    @property
    def first_stage(self) -> bool:
        return self.pipeline == 0

    @property
    def last_stage(self) -> bool:
        return self.pipeline == self.pipeline_size - 1

    @property
    def counts_loss(self) -> bool:
        """True on the processes whose losses sum to the global one: last stage, and one of each tensor group."""
        return self.last_stage and self.tensor == 0


@contextlib.contextmanager
def model_parallel(parallel: ParallelConfig, seed: int) -> Iterator[Ranks]:
    """Megatron's groups and random states for the block; torch's random states are put back after it.

    The world size must be a multiple of tensor x pipeline; `pretrain.training.plan` checks it with the numbers.
    """
    with torch.random.fork_rng():
        parallel_state.initialize_model_parallel(
            tensor_model_parallel_size=parallel.tensor, pipeline_model_parallel_size=parallel.pipeline
        )
        try:
            torch.manual_seed(seed)
            parallel_random.model_parallel_cuda_manual_seed(seed)
            yield Ranks(
                rank=dist.get_rank(),
                world_size=dist.get_world_size(),
                data=parallel_state.get_data_parallel_rank(),
                data_size=parallel_state.get_data_parallel_world_size(),
                tensor=parallel_state.get_tensor_model_parallel_rank(),
                tensor_size=parallel.tensor,
                pipeline=parallel_state.get_pipeline_model_parallel_rank(),
                pipeline_size=parallel.pipeline,
            )
        finally:
            parallel_random.initialize_rng_tracker(force_reset=True)
            parallel_state.destroy_global_memory_buffer()
            parallel_state.destroy_model_parallel()
