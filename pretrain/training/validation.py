"""Loss on text that the run does not learn from: all labels of a set, or its forget or retain ones.

Always on the text as it was exported, with nothing hidden at reading, so that runs of different filters are measured on
the same labels. Forget and retain labels are those of the exported mask.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.samples.filter_config import FilterConfig
from tokensieve.pretrain.samples.training_samples import TrainingSamples, build_datasets
from tokensieve.pretrain.training.batches import microbatch, stack, windows
from tokensieve.pretrain.training.config import EvaluationSet, PretrainConfig
from tokensieve.pretrain.training.engine import Engine, Microbatch
from tokensieve.pretrain.training.parallel import Ranks
from tokensieve.pretrain.training.records import ValidationRecord


@dataclass(frozen=True, kw_only=True)
class _Measured:
    name: str
    of: str
    labels: str
    samples: TrainingSamples
    count: int


class Validation:
    """The evaluation sets of a run, opened once. Every process builds and calls it."""

    def __init__(self, config: PretrainConfig, shards: Path, cache: Path, device: torch.device, ranks: Ranks) -> None:
        self._config, self._device, self._ranks = config, device, ranks
        opened: dict[tuple[str, str], TrainingSamples] = {}
        self._sets = []
        for name, one in evaluation_sets(config, shards).items():
            place, manifest = (Path(one.shards), None) if one.shards else (shards, config.manifest)
            key = (str(place), one.split)
            if key not in opened:
                opened[key] = build_datasets(
                    place,
                    seq_length=config.seq_length,
                    samples=1,  # one pass
                    seed=0,  # the same samples whatever the run's seed
                    settings=FilterConfig(mode="mask"),
                    split=one.split,
                    cache=cache,
                    manifest=manifest,
                )
            count = min(len(opened[key]), config.validation.samples)
            self._sets.append(
                _Measured(
                    name=name,
                    of=f"{Corpus.load(place, manifest).id}/{one.split}",
                    labels=one.labels,
                    samples=opened[key],
                    count=count,
                )
            )

    def measure(self, engine: Engine, steps_done: int) -> list[ValidationRecord]:
        """The loss of every set after `steps_done` steps."""
        return [self._one(engine, one, steps_done) for one in self._sets]

    def _one(self, engine: Engine, one: _Measured, steps_done: int) -> ValidationRecord:
        total, labels = 0.0, 0
        for numbers in windows(one.count, self._config, self._ranks):
            found = engine.evaluate([self._microbatch(one, numbers)])
            total, labels = total + found.loss_sum, labels + found.loss_tokens
        return ValidationRecord(
            step=steps_done, set=one.name, of=one.of, loss=total / labels if labels else None, labels=labels
        )

    def _microbatch(self, one: _Measured, numbers: list[int]) -> Microbatch:
        rows = [one.samples[max(number, 0)] for number in numbers]
        for row, number in zip(rows, numbers, strict=True):
            if number < 0:
                row["loss_mask"] = torch.zeros_like(row["loss_mask"])
            elif one.labels == "forget":
                row["loss_mask"] = 1 - row["loss_mask"]
            elif one.labels == "all":
                row["loss_mask"] = torch.ones_like(row["loss_mask"])
        return microbatch(stack(rows), numbers, self._device)


def evaluation_sets(config: PretrainConfig, shards: Path) -> dict[str, EvaluationSet]:
    """The sets that a run measures: those it names, else forget and retain labels of its own split `valid`."""
    if config.validation.sets is not None:
        return config.validation.sets
    if not Corpus.load(shards, config.manifest).shards("valid", config.seq_length):
        return {}
    return {"forget": EvaluationSet(labels="forget"), "retain": EvaluationSet(labels="retain")}
