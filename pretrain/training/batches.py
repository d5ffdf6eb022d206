"""From samples to microbatches on a device: which samples a process reads at each step, and in what groups.

Fetched in this process, or ahead of the step by worker processes. A pipeline's middle stages read the samples too,
since their count says how many microbatches pass.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import xxhash
from torch.utils.data import DataLoader

from pretrain.samples.training_samples import TrainingSamples
from pretrain.training.config import PretrainConfig
from pretrain.training.engine import Microbatch
from pretrain.training.parallel import Ranks

Sample = dict[str, torch.Tensor]


def step_samples(config: PretrainConfig, ranks: Ranks, step: int) -> list[range]:
    """The numbers of the samples of each of this process's microbatches in a step."""
    size, first = config.micro_batch_size, step * config.global_batch_size
    starts = range(first + size * ranks.data, first + config.global_batch_size, size * ranks.data_size)
    return [range(start, start + size) for start in starts]


class BatchSource:
    """The microbatches of this process, step by step from `first_step` on."""

    def __init__(
        self,
        samples: TrainingSamples,
        config: PretrainConfig,
        ranks: Ranks,
        device: torch.device,
        first_step: int,
        end: int,
    ) -> None:
        self._device = device
        numbers = [list(one) for step in range(first_step, end) for one in step_samples(config, ranks, step)]
        self._numbers = iter(numbers)
        workers: dict[str, Any] = {}
        if config.loader_workers:
            workers = {"num_workers": config.loader_workers, "prefetch_factor": 4, "persistent_workers": True}
        self._batches = iter(
            DataLoader(
                samples,
                batch_sampler=numbers,  # type: ignore[arg-type]  # any iterable of lists of indices
                collate_fn=_stack,
                pin_memory=device.type == "cuda",
                **workers,
            )
        )
        self._per_step = len(step_samples(config, ranks, 0))

    def step(self) -> list[Microbatch]:
        """The next step's microbatches, on the device."""
        return [microbatch(next(self._batches), next(self._numbers), self._device) for _ in range(self._per_step)]


def microbatch(stacked: Sample, numbers: Sequence[int], device: torch.device) -> Microbatch:
    """B stacked samples on the device."""
    moved = {name: stacked[name].to(device, non_blocking=True) for name in _FIELDS}
    return Microbatch(
        samples=tuple(numbers),
        tokens_BT=moved["tokens"],
        labels_BT=moved["labels"],
        loss_mask_BT=moved["loss_mask"],
        position_ids_BT=moved["position_ids"],
        fingerprint=int(stacked["fingerprint"]) & (2**64 - 1),
    )


_FIELDS = ("tokens", "labels", "loss_mask", "position_ids")


def _stack(rows: list[Sample]) -> Sample:
    stacked = {name: torch.stack([row[name] for row in rows]) for name in _FIELDS}
    return stacked | {"fingerprint": torch.tensor(fingerprint(rows))}


def fingerprint(rows: Sequence[Sample]) -> int:
    """The sum of a hash of each sample's ids, labels and loss mask, as int64: the same in any order and grouping."""
    hashes = [
        xxhash.xxh3_64_intdigest(
            b"".join(np.ascontiguousarray(row[name].numpy()).tobytes() for name in ("tokens", "labels", "loss_mask"))
        )
        for row in rows
    ]
    return int(np.array([sum(hashes) & (2**64 - 1)], dtype=np.uint64).astype(np.int64)[0])


def windows(total: int, config: PretrainConfig, ranks: Ranks) -> Iterator[list[int]]:
    """Samples 0 to `total` in rows of one microbatch for this process; short ones are filled with -1 (no loss)."""
    together = config.micro_batch_size * ranks.data_size
    for start in range(0, total, together):
        own = range(start + config.micro_batch_size * ranks.data, start + config.micro_batch_size * (ranks.data + 1))
        yield [number if number < total else -1 for number in own]
