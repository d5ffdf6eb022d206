"""Sweeps over layers and penalties: what is planted is found, on calibration tokens, and on no others."""

import numpy as np
import pytest
import torch

from tokensieve.pretrain.classifier.choose_head import Data, choose, figure, judge, logistic, mlp, multilayer
from tokensieve.pretrain.classifier.frozen_features import Features
from tokensieve.pretrain.classifier.logistic_head import LogisticConfig
from tokensieve.pretrain.classifier.mlp_head import MlpConfig
from tokensieve.udfs.bundles.bundle_spec import Trial

ROWS = 600


def _features(seed: int, signal: dict[int, str], rows: int = ROWS) -> Features:
    """Three layers of noise [N, 4]; a layer's first column holds the label (`all`), or that of half of the tokens."""
    rng = np.random.default_rng(seed)
    value_N = (np.arange(rows) % 2).astype(np.float32)
    half_N = np.arange(rows) % 4 < 2
    layers = {}
    for layer in (1, 2, 3):
        x_NW = rng.normal(size=(rows, 4))
        shown_N = {"all": np.ones(rows, bool), "one half": half_N, "other half": ~half_N}.get(signal.get(layer, ""))
        if shown_N is not None:
            x_NW[:, 0] += np.where(shown_N, 6 * (value_N - 0.5), 0)
        layers[layer] = (10 * layer + layer * x_NW).astype(np.float32)
    pooled = {layer: x_NW[:20] for layer, x_NW in layers.items()}
    return Features(layers=layers, value_N=value_N, pooled=pooled, positive_D=value_N[:20] > 0)


def _data(**signal: str) -> Data:
    planted = {int(name[-1]): kind for name, kind in signal.items()}
    return Data(train=_features(1, planted), calibration=_features(2, planted))


def _raw_logits(weights: dict[str, torch.Tensor], features: Features, layers: tuple[int, ...]) -> np.ndarray:
    """What the head says of raw features, with the weights that a bundle stores."""
    x_NK = torch.from_numpy(np.concatenate([features.layers[layer] for layer in layers], axis=1))
    if "token.up.weight" in weights:
        hidden = torch.nn.functional.gelu(x_NK @ weights["token.up.weight"].T + weights["token.up.bias"])
        return (hidden @ weights["token.down.weight"][0] + weights["token.down.bias"]).numpy()
    return (x_NK @ weights["token.weight"] + weights["token.bias"]).numpy()


def test_the_layer_sweep_finds_the_layer_with_the_signal():
    chosen = logistic(_data(layer_2="all"), [(1,), (2,), (3,)], LogisticConfig(c=[0.1, 10.0]), "f1")
    assert chosen.trial.layers == (2,)
    assert figure(chosen.trial, "auroc") > 0.98
    assert [(trial.layers, trial.settings["c"]) for trial in chosen.trials] == [
        ((1,), 0.1), ((1,), 10.0), ((2,), 0.1), ((2,), 10.0), ((3,), 0.1), ((3,), 10.0),
    ]  # fmt: skip
    assert all(0.35 < figure(trial, "auroc") < 0.65 for trial in chosen.trials if trial.layers != (2,))


def test_the_head_that_is_kept_does_on_raw_features_what_was_judged():
    data = _data(layer_3="all")
    chosen = logistic(data, [(3,)], LogisticConfig(c=[1.0]), "auroc")
    logits_N = _raw_logits(chosen.head, data.calibration, (3,))
    assert judge((3,), {"c": 1.0}, logits_N, data.calibration.value_N) == chosen.trial


def test_the_penalty_is_chosen_by_calibration_tokens():
    """Eighty columns of noise and few tokens: the freest fit is the best on its own tokens and not on others."""
    rng = np.random.default_rng(0)

    def noisy(rows: int, seed: int) -> Features:
        value_N = (np.arange(rows) % 2).astype(np.float32)
        x_NW = np.random.default_rng(seed).normal(size=(rows, 80)).astype(np.float32)
        x_NW[:, 0] += 2 * (value_N - 0.5)
        return Features(layers={1: x_NW}, value_N=value_N, pooled={1: x_NW}, positive_D=value_N > 0)

    data = Data(train=noisy(100, int(rng.integers(99))), calibration=noisy(2000, int(rng.integers(99))))
    chosen = logistic(data, [(1,)], LogisticConfig(c=[0.01, 100.0]), "auroc")
    assert chosen.trial.settings == {"c": 0.01}
    swapped = Data(train=data.train, calibration=data.train)
    assert logistic(swapped, [(1,)], LogisticConfig(c=[0.01, 100.0]), "auroc").trial.settings == {"c": 100.0}


def test_layers_side_by_side_hold_more_than_each():
    data = _data(layer_1="one half", layer_3="other half")
    single = logistic(data, [(1,), (2,), (3,)], LogisticConfig(c=[1.0]), "auroc")
    grown = multilayer(data, [1, 2, 3], 3, LogisticConfig(c=[1.0]), "auroc")
    assert sorted(grown.trial.layers) == [1, 3]
    assert figure(grown.trial, "auroc") > figure(single.trial, "auroc") + 0.05
    assert grown.head["token.weight"].shape == (8,)


def test_layers_are_added_only_up_to_the_limit():
    grown = multilayer(_data(layer_1="one half", layer_3="other half"), [1, 2, 3], 1, LogisticConfig(c=[1.0]), "auroc")
    assert len(grown.trial.layers) == 1


def test_a_hidden_layer_finds_what_a_line_cannot():
    def corners(seed: int) -> Features:
        x_NW = np.random.default_rng(seed).normal(size=(800, 2)).astype(np.float32)
        value_N = (x_NW[:, 0] * x_NW[:, 1] > 0).astype(np.float32)
        return Features(layers={1: 3 * x_NW + 5}, value_N=value_N, pooled={1: x_NW}, positive_D=value_N > 0)

    data = Data(train=corners(1), calibration=corners(2))
    line = logistic(data, [(1,)], LogisticConfig(c=[1.0]), "auroc")
    bent = mlp(data, [(1,)], MlpConfig(hidden=16, batch=64, learning_rate=1e-2, epochs=20), "auroc", seed=0)
    assert figure(line.trial, "auroc") < 0.6
    assert figure(bent.trial, "auroc") > 0.95
    again = judge((1,), bent.trial.settings, _raw_logits(bent.head, data.calibration, (1,)), data.calibration.value_N)
    assert figure(again, "auroc") == pytest.approx(figure(bent.trial, "auroc"), abs=1e-3)


def test_an_mlp_is_stopped_by_calibration_tokens_and_repeats_itself():
    data = _data()  # nothing to learn: every epoch after the first few only fits noise
    config = MlpConfig(hidden=32, batch=64, learning_rate=1e-2, epochs=60, patience=2)
    first, second = (mlp(data, [(1,)], config, "auroc", seed=5) for _ in range(2))
    assert first.trial.settings["epochs"] < 20
    assert all(torch.equal(first.head[name], second.head[name]) for name in first.head)


def test_of_equal_candidates_the_first_is_kept():
    trials = [Trial(layers=(n,), settings={}, f1=f1, auroc=0.5) for n, f1 in ((1, 0.7), (2, 0.8), (3, 0.8))]
    assert choose([(trial, trial.layers) for trial in trials], "f1").head == (2,)


def test_calibration_tokens_of_one_class_choose_nothing():
    trial = judge((1,), {}, np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="both classes"):
        choose([(trial, None)], "auroc")
