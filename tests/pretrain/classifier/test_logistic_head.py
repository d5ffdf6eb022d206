"""Logistic regression by L-BFGS: the minimum, not a stop on the way."""

import numpy as np
import pytest
import torch

from tokensieve.pretrain.classifier import frozen_features as design_module
from tokensieve.pretrain.classifier.frozen_features import Design, Scaler, fit_scaler
from tokensieve.pretrain.classifier.logistic_head import Linear, LogisticConfig, fit_logistic, objective

EXACT = LogisticConfig(tolerance=1e-7)


def _plain(x_NK: np.ndarray) -> Design:
    """The features as they are."""
    return Design((x_NK.astype(np.float32),), Scaler(mean_K=np.zeros(x_NK.shape[1]), scale_K=np.ones(x_NK.shape[1])))


def _data(rows: int = 400, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x_NK = rng.normal(size=(rows, width))
    chance_N = 1 / (1 + np.exp(-(x_NK @ np.linspace(-2, 2, width) + 0.5)))
    return x_NK, (rng.random(rows) < chance_N).astype(np.float32)


def _slope(x_NK: np.ndarray, value_N: np.ndarray, head: Linear, c: float) -> np.ndarray:
    """Gradient of `C * sum of losses + |w|^2 / 2`, divided by C N, in float64 numpy: independent of the fit."""
    off_N = 1 / (1 + np.exp(-(x_NK @ head.weight_K + head.bias))) - value_N
    return np.append(x_NK.T @ off_N / len(x_NK) + head.weight_K / (c * len(x_NK)), off_N.mean())


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_the_gradient_of_the_objective_vanishes_at_the_solution(c):
    x_NK, value_N = _data()
    head = fit_logistic(_plain(x_NK), value_N, c, EXACT)
    # Losses are float32, so the line search sees no step that gains less than about 3e-9 (a rounding of 6e-8 over the
    # root of 400 rows). At a curvature of 0.1 that is a slope of 2e-5; how far below it a fit ends is the CPU's luck.
    assert np.abs(_slope(x_NK, value_N, head, c)).max() < 1e-5
    assert np.abs(_slope(x_NK, value_N, Linear(weight_K=np.zeros(5), bias=0.0), c)).max() > 0.05


def test_without_features_the_bias_is_the_log_odds_of_the_share():
    value_N = np.array([1, 1, 1, 0], dtype=np.float32)
    head = fit_logistic(_plain(np.zeros((4, 1))), value_N, 1.0, EXACT)
    assert head.bias == pytest.approx(np.log(3), abs=1e-4)
    assert head.weight_K.tolist() == [0]


def test_one_binary_feature_has_the_closed_form():
    x_NK = np.array([[0.0]] * 4 + [[1.0]] * 5)
    value_N = np.array([1, 0, 0, 0, 1, 1, 1, 1, 0], dtype=np.float32)
    head = fit_logistic(_plain(x_NK), value_N, 1e6, EXACT)
    assert head.bias == pytest.approx(np.log(1 / 3), abs=1e-3)
    assert head.bias + head.weight_K[0] == pytest.approx(np.log(4), abs=1e-3)


def test_soft_targets_are_met_where_the_model_can():
    x_NK = np.array([[0.0], [1.0]] * 50)
    head = fit_logistic(_plain(x_NK), np.tile(np.array([0.2, 0.9], np.float32), 50), 1e6, EXACT)
    chance = 1 / (1 + np.exp(-(np.array([0, 1]) * head.weight_K[0] + head.bias)))
    assert chance.tolist() == pytest.approx([0.2, 0.9], abs=1e-3)


def test_a_smaller_c_gives_smaller_weights():
    x_NK, value_N = _data()
    norms = [np.linalg.norm(fit_logistic(_plain(x_NK), value_N, c, EXACT).weight_K) for c in (0.001, 0.1, 10.0)]
    assert norms[0] < norms[1] < norms[2]


def test_a_warm_start_ends_at_the_same_place():
    x_NK, value_N = _data()
    cold = fit_logistic(_plain(x_NK), value_N, 10.0, EXACT)
    warm = fit_logistic(_plain(x_NK), value_N, 10.0, EXACT, start=fit_logistic(_plain(x_NK), value_N, 0.01, EXACT))
    np.testing.assert_allclose(warm.weight_K, cold.weight_K, atol=1e-4)


def test_the_same_fit_gives_the_same_bytes():
    x_NK, value_N = _data()
    first, second = (fit_logistic(_plain(x_NK), value_N, 1.0, EXACT) for _ in range(2))
    assert first.weight_K.tobytes() == second.weight_K.tobytes()


def test_objective_and_gradient_agree_by_finite_differences():
    x_NK, value_N = _data(rows=40)
    design, value, theta = _plain(x_NK), torch.from_numpy(value_N), torch.linspace(-1, 1, 6, dtype=torch.float64)
    _, slope = objective(design, value, theta, 2.0)
    for at in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[at] = 1e-2
        rise = objective(design, value, theta + step, 2.0)[0] - objective(design, value, theta - step, 2.0)[0]
        assert float(rise) / 2e-2 == pytest.approx(float(slope[at]), abs=2e-4)


# --- the design it reads ---


def test_standardised_columns_have_mean_zero_and_deviation_one():
    rng = np.random.default_rng(1)
    parts = [rng.normal(5, 3, size=(500, 2)).astype(np.float16), np.full((500, 1), 7, dtype=np.float16)]
    design = Design(tuple(parts), fit_scaler(parts))
    x_NK = torch.cat([x for _, x in design.chunks()]).numpy()
    np.testing.assert_allclose(x_NK.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(x_NK.std(axis=0), [1, 1, 0], atol=1e-5)


def test_a_folded_head_does_the_same_on_raw_features():
    rng = np.random.default_rng(2)
    raw_NK = rng.normal([4, -100], [0.1, 30], size=(50, 2)).astype(np.float32)
    scaler = fit_scaler([raw_NK])
    weight_K, bias = scaler.fold(np.array([1.0, -2.0]), 0.25)
    standard_N = Design((raw_NK,), scaler).logits(np.array([1.0, -2.0]), 0.25)
    np.testing.assert_allclose(raw_NK @ weight_K + bias, standard_N, atol=1e-3)


def test_rows_streamed_from_disk_are_those_held_in_memory(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    parts = [rng.normal(size=(70, 3)).astype(np.float32), rng.normal(size=(70, 2)).astype(np.float32)]
    scaler = fit_scaler(parts)
    held = torch.cat([x for _, x in Design(tuple(parts), scaler).chunks()])
    monkeypatch.setattr(design_module, "_ROWS", 16)
    monkeypatch.setattr(design_module, "_IN_MEMORY", 0)
    streamed = Design(tuple(parts), scaler)
    assert [rows.stop - rows.start for rows, _ in streamed.chunks()] == [16, 16, 16, 16, 6]
    assert torch.equal(torch.cat([x for _, x in streamed.chunks()]), held)
    assert torch.equal(streamed.rows(np.array([69, 2])), held[[69, 2]])
