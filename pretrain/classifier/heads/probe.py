"""Heads on frozen features: which layers, which penalty, linear or with a hidden layer; chosen on calibration tokens.

Every method gives the same thing: the layers to keep, and weights for their raw features side by side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pretrain.classifier.heads.choose import Chosen, Metric, choose, figure, judge
from pretrain.classifier.heads.design import Design, fit_scaler
from pretrain.classifier.heads.features import Features
from pretrain.classifier.heads.logistic import Linear, LogisticConfig, fit_logistic
from pretrain.classifier.heads.mlp import MlpConfig, fit_mlp, mlp_logits
from udfs.bundle_spec import Trial

Weights = dict[str, Tensor]
Layers = tuple[int, ...]
Tried = Iterator[tuple[Trial, Weights]]


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


def _penalties(data: Data, layers: Layers, config: LogisticConfig) -> Tried:
    train, calibration = data.designs(layers)
    start: Linear | None = None
    for c in sorted(config.c):
        start = fit_logistic(train, data.train.value_N, c, config, start)
        logits_N = calibration.logits(start.weight_K, start.bias)
        weight_K, bias = train.scaler.fold(start.weight_K, start.bias)
        weights = {"token.weight": torch.from_numpy(weight_K).float(), "token.bias": torch.tensor([bias]).float()}
        yield judge(layers, {"c": c}, logits_N, data.calibration.value_N), weights
