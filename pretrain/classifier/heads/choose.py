"""Chooses settings of a head (layers, penalty) by how it scores calibration tokens, never the tokens reported on.

The figures are those of the report (`evaluate`), on the grid that scores are stored on, both classes weighing the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np

from pretrain.classifier.errors import FitError
from pretrain.classifier.evaluate import auroc, every_level, histograms
from udfs.bundle_spec import Trial

Metric = Literal["f1", "auroc"]
Head = TypeVar("Head")


@dataclass(frozen=True, kw_only=True)
class Chosen(Generic[Head]):
    """The best head, its trial, and all trials in the order in which they were made."""

    head: Head
    trial: Trial
    trials: tuple[Trial, ...]


def judge(layers: tuple[int, ...], settings: dict[str, float], logits_N: np.ndarray, value_N: np.ndarray) -> Trial:
    """The trial of a head that gives calibration tokens these logits; a target of at least one half is positive."""
    counts = histograms(logits_N, value_N >= 0.5, np.array([0, len(logits_N)])).pooled
    return Trial(
        layers=layers,
        settings=settings,
        f1=_finite(every_level(*counts, 0.5).f1.max()),
        auroc=_finite(auroc(*counts)),
    )


def choose(tried: Iterable[tuple[Trial, Head]], by: Metric) -> Chosen[Head]:
    """The head with the highest figure; the earliest of several, so candidates should come cheapest first.

    Raises ValueError when there is no candidate, or none has a figure.
    """
    best: tuple[Trial, Head] | None = None
    trials: list[Trial] = []
    for trial, head in tried:
        trials.append(trial)
        if figure(trial, by) > (figure(best[0], by) if best else -np.inf):
            best = trial, head
    if best is None:
        raise FitError(f"none of {len(trials)} candidates has an {by}: give calibration tokens of both classes")
    return Chosen(head=best[1], trial=best[0], trials=tuple(trials))


def figure(trial: Trial, by: Metric) -> float:
    """The trial's figure; minus infinity where it is undecided."""
    value = trial.f1 if by == "f1" else trial.auroc
    return -np.inf if value is None else value


def _finite(value: "np.ndarray | float") -> float | None:
    return float(value) if np.isfinite(value) else None
