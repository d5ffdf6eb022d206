"""From samples to microbatches on a device: which samples a process reads at each step, and in what groups.

Fetched in this process, or ahead of the step by worker processes. A pipeline's middle stages read the samples too,
since their count says how many microbatches pass. Each microbatch brings a fingerprint of its samples, which sums to
the same in any order and grouping.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
import xxhash
from torch.utils.data import DataLoader

from tokensieve.pretrain.samples.training_samples import TrainingSamples
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.engine import Microbatch
from tokensieve.pretrain.training.parallel import Ranks
from tokensieve.pretrain.training.step_share import Cut

Sample = dict[str, torch.Tensor]
_FIELDS = ("tokens", "labels", "loss_mask", "position_ids")


class StepSamples:
    """The numbers of the samples of each microbatch that one data-parallel rank reads, from step `first` to `end`."""

    def __init__(self, cut: Cut, data_rank: int, first: int, end: int) -> None:
        self._cut, self._data_rank, self._steps = cut, data_rank, range(first, end)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            yield from map(list, self._cut.samples(step, self._data_rank))


def step_batches(
    samples: TrainingSamples, todo: StepSamples, per_step: int, device: torch.device, workers: int
) -> Iterator[list[Microbatch]]:
    """The microbatches of each step, on the device; fetched ahead by `workers` processes, or here if there are none."""
    ahead: dict[str, Any] = {"num_workers": workers, "prefetch_factor": 4} if workers else {}
    loader = DataLoader(
        samples,
        batch_sampler=todo,  # type: ignore[arg-type]  # any iterable of lists of indices
        collate_fn=stack,
        pin_memory=device.type == "cuda",
        **ahead,
    )
    ready = (microbatch(stacked, numbers, device) for stacked, numbers in zip(loader, todo, strict=True))
    while batches := list(islice(ready, per_step)):
        yield batches


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


def stack(rows: list[Sample]) -> Sample:
    """B samples as one, with their fingerprint."""
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
