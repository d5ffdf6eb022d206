"""Heads on frozen features: which layers, which penalty, linear or with a hidden layer; chosen on calibration tokens.

Every method gives the same thing: the layers to keep, and weights for their raw features side by side. It chooses by
how a head scores calibration tokens, never the tokens reported on, and by the figures of the report
(pretrain/measuring/histograms.py), on the grid that scores are stored on, both classes weighing the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from tokensieve.pretrain.classifier.frozen_features import Design, Features, fit_scaler
from tokensieve.pretrain.classifier.logistic_head import Linear, LogisticConfig, fit_logistic
from tokensieve.pretrain.classifier.mlp_head import MlpConfig, fit_mlp, mlp_logits
from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.measuring.histograms import auroc, every_level, histograms
from tokensieve.udfs.bundles.bundle_spec import Trial

Weights = dict[str, Tensor]
Layers = tuple[int, ...]
Tried = Iterator[tuple[Trial, Weights]]
Head = TypeVar("Head")
Metric = Literal["f1", "auroc"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """Features of the tokens that heads are fitted on, and of those that choose between them."""

    train: Features
    calibration: Features

    def designs(self, layers: Layers) -> tuple[Design, Design]:
        """Both as a head on these layers sees them, standardised by the training tokens."""
        parts, held = (tuple(features.layers[n] for n in layers) for features in (self.train, self.calibration))
        scaler = fit_scaler(parts)
        return Design(parts, scaler), Design(held, scaler)


@dataclass(frozen=True, kw_only=True)
class Chosen(Generic[Head]):
    """The best head, its trial, and all trials in the order in which they were made."""

    head: Head
    trial: Trial
    trials: tuple[Trial, ...]


def logistic(data: Data, candidates: Sequence[Layers], config: LogisticConfig, by: Metric) -> Chosen[Weights]:
    """Logistic regressions on each candidate's layers with each penalty, the strongest first."""

    def tried() -> Tried:
        for layers in candidates:
            yield from _penalties(data, layers, config)

    return choose(tried(), by)


def multilayer(data: Data, layers: Sequence[int], most: int, config: LogisticConfig, by: Metric) -> Chosen[Weights]:
    """A logistic regression on several layers side by side, grown greedily (paper 1's multi-layer probe).

    Begins with the best layer, adds the one that gains most with that penalty, and ends when none gains or with `most`
    layers.
    """
    best = logistic(data, [(layer,) for layer in layers], config, by)
    trials = list(best.trials)
    while len(best.trial.layers) < most:
        fixed = config.model_copy(update={"c": [best.trial.settings["c"]]})
        more = [(*best.trial.layers, layer) for layer in layers if layer not in best.trial.layers]
        if not more:
            break
        grown = logistic(data, more, fixed, by)
        trials += grown.trials
        if figure(grown.trial, by) <= figure(best.trial, by):
            break
        best = grown
    return Chosen(head=best.head, trial=best.trial, trials=tuple(trials))


def mlp(data: Data, candidates: Sequence[Layers], config: MlpConfig, by: Metric, seed: int) -> Chosen[Weights]:
    """A head with a hidden layer on each candidate's layers."""

    def tried() -> Tried:
        for layers in candidates:
            train, calibration = data.designs(layers)
            fitted = fit_mlp(train, data.train.value_N, calibration, data.calibration.value_N, config, seed)
            logits_N = mlp_logits(fitted.module, calibration)
            trial = judge(layers, {"epochs": float(fitted.epochs)}, logits_N, data.calibration.value_N)
            mean_K, scale_K = (torch.from_numpy(x_K).float() for x_K in (train.scaler.mean_K, train.scaler.scale_K))
            fitted.module.fold(mean_K, scale_K)
            yield trial, {f"token.{name}": weight for name, weight in fitted.module.state_dict().items()}

    return choose(tried(), by)


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


def _penalties(data: Data, layers: Layers, config: LogisticConfig) -> Tried:
    train, calibration = data.designs(layers)
    start: Linear | None = None
    for c in sorted(config.c):
        start = fit_logistic(train, data.train.value_N, c, config, start)
        logits_N = calibration.logits(start.weight_K, start.bias)
        weight_K, bias = train.scaler.fold(start.weight_K, start.bias)
        weights = {"token.weight": torch.from_numpy(weight_K).float(), "token.bias": torch.tensor([bias]).float()}
        yield judge(layers, {"c": c}, logits_N, data.calibration.value_N), weights


def _finite(value: "np.ndarray | float") -> float | None:
    return float(value) if np.isfinite(value) else None
