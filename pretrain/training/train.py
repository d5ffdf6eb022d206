"""Trains a model on filtered shards through megatron-core, on one process or under torchrun.

Everything global (process group, parallel state, CPU shim, random states) lives inside one call and is undone when it
returns. torch and megatron-core are imported inside, so that importing this file is free.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.plan import Plan, plan
from tokensieve.pretrain.training.records import RunFolder, StepRecord, TrainResult, ValidationRecord, finished
from tokensieve.pretrain.training.run_identity import identity, refuse_another_run, with_own_manifest

if TYPE_CHECKING:
    import torch

    from tokensieve.pretrain.samples.training_samples import TrainingSamples
    from tokensieve.pretrain.training.run import Run

Show = Callable[[StepRecord | ValidationRecord], None]


def train(
    config: PretrainConfig, shards: Path, out: Path, progress: Show | None = None, *, resume: bool = False
) -> TrainResult:
    """Train as `plan(config, shards)` says and write metrics, weights and result into `out`.

    `resume` goes on from the newest complete checkpoint in `out`, starts where there is none, and does nothing for a
    run that has ended. Without it an ended run is replaced, checkpoints of one that has not are refused. `progress` is
    called every `config.log_every` steps, at the last one and for each validation (first process only). May be called
    again in the same process.
    Raises PlanError, ManifestError, ShardError, DatasetError, TrainingError (Stopped after SIGTERM).
    """
    ended = (out / "train.json").is_file()
    config = with_own_manifest(config, shards, out) if resume else config
    if resume and (result := finished(out)):
        about = json.loads((out / "config.json").read_text())
        then = identity(PretrainConfig.model_validate(about["pretrain"]))
        refuse_another_run(config, Corpus.load(shards, config.manifest).id, then, about["manifest_id"], str(out))
        return result
    with built_run(config, shards, out) as run:
        from tokensieve.pretrain.training import checkpoint

        complete = None if ended else checkpoint.newest(out)
        if complete and not resume:
            raise TrainingError(
                f"{complete.path}: checkpoint of a run that has not ended; go on with `pretrain resume`, or delete it"
            )
        if complete:
            marker = complete.marker
            refuse_another_run(config, run.corpus.id, marker.settings, marker.corpus_id, str(complete.path))
            run.resume(complete)
        else:
            checkpoint.clear(out)
        first = run.first_process
        with contextlib.ExitStack() as stack:
            folder = None
            if first:
                folder = stack.enter_context(RunFolder(out, run.progress.steps_done, tensorboard=config.tensorboard))
                run.cut().write(out)
            run.steps(folder, progress if first else None)
            weights, result = run.weights(), run.result()
            if folder:
                folder.finish(result, config, run.corpus, weights)
    return result


@contextlib.contextmanager
def built_run(config: PretrainConfig, shards: Path, out: Path) -> "Iterator[Run]":
    """A run with model and samples, inside everything that Megatron needs. Raises as `train` does."""
    from tokensieve.pretrain.training.megatron_patches import cpu_shim, quiet_megatron

    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_megatron())
        from tokensieve.pretrain.process_group import process_group, world_size
        from tokensieve.pretrain.training.parallel import model_parallel
        from tokensieve.pretrain.training.run import Run

        device = _device(config)
        corpus = Corpus.load(shards, config.manifest)
        config = config.model_copy(update={"manifest": corpus.id})  # an export may change the newest one meanwhile
        todo = plan(config, shards, world_size=world_size())
        if device.type == "cpu":
            stack.enter_context(cpu_shim())
        stack.enter_context(process_group(device))
        ranks = stack.enter_context(model_parallel(config.parallel, config.seed))
        samples = run_samples(config, todo, shards, out)
        yield Run(config, todo, corpus, samples, device, ranks, out)


def run_samples(config: PretrainConfig, todo: Plan, shards: Path, out: Path) -> "TrainingSamples":
    """The samples of the planned run, in the order in which it reads them. Raises as `build_datasets` does."""
    from tokensieve.pretrain.samples.training_samples import build_datasets

    return build_datasets(
        shards,
        seq_length=config.seq_length,
        samples=todo.samples,
        seed=config.seed,
        settings=config.filter,
        first_filtered_sample=todo.filter_from_step * config.global_batch_size,
        cache=out / "index-cache",
        manifest=config.manifest,
    )


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
