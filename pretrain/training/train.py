"""Trains a model on filtered shards through megatron-core, on one process or under torchrun (data parallel).

Everything global (process group, parallel state, CPU shim, random states) lives inside `train` and is undone
when it returns. Not here: checkpoints and resuming, tensor and pipeline parallelism.
torch and megatron-core are imported inside, so that importing this file is free.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pretrain.errors import TrainingError
from pretrain.shards.manifest import Manifest
from pretrain.training.config import PretrainConfig
from pretrain.training.plan import plan
from pretrain.training.quiet import quiet_megatron
from pretrain.training.records import RunFolder, StepRecord, TrainResult

if TYPE_CHECKING:
    import torch


def train(
    config: PretrainConfig,
    shards: Path,
    out: Path,
    progress: Callable[[StepRecord], None] | None = None,
) -> TrainResult:
    """Train as `plan(config, shards)` says and write metrics, weights and result into `out`.

    `progress` is called every `config.log_every` steps and at the last one (rank 0 only). May be called
    again in the same process. Raises PlanError, ManifestError, ShardError, DatasetError, TrainingError.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_megatron())
        from pretrain.samples.training_samples import build_datasets
        from pretrain.training.cpu_shim import cpu_shim
        from pretrain.training.distributed import model_parallel, process_group, world_size
        from pretrain.training.run import Run

        device = _device(config)
        manifest = Manifest.load(shards)
        todo = plan(config, shards, world_size=world_size())
        if device.type == "cpu":
            stack.enter_context(cpu_shim())
        ranks = stack.enter_context(process_group(device))
        stack.enter_context(model_parallel(config.seed))
        samples = build_datasets(
            shards,
            seq_length=config.seq_length,
            samples=todo.samples,
            seed=config.seed,
            loss_mask="none" if config.filter.mode == "none" else "mask",
            cache=out / "index-cache",
        )
        run = Run(config, todo, samples, device, ranks)
        folder = stack.enter_context(RunFolder(out)) if ranks.rank == 0 else None
        result = run.steps(folder, progress)
        if folder:
            folder.finish(result, config, manifest, run.weights())
    return result


def _device(config: PretrainConfig) -> "torch.device":
    """The device to train on; sets the current GPU under torchrun. Raises TrainingError without a GPU."""
    import torch

    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise TrainingError("pretrain.device is cuda but torch sees no GPU; set it to cpu or auto")
    if config.device == "cpu" and available:
        raise TrainingError("pretrain.device is cpu but CUDA is available; hide it with CUDA_VISIBLE_DEVICES=")
    if not available:
        return torch.device("cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cuda", torch.cuda.current_device())
