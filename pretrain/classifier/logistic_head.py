"""Logistic regression on frozen features (arXiv 2601.21571): the token head by L-BFGS, the document head by Newton.

The token head's rows are streamed in chunks. Its objective is `C * sum of losses + |w|^2 / 2` over standardised
features, the bias free: the meaning that C has in the paper's code. Targets may be soft. Sums are kept in float64,
matrix products are float32.

The document head reads mean-pooled features. It is fitted after the encoder, so that a document's label never pulls on
the token features. With some hundred features Newton's method converges in a few steps and has no learning rate to
choose; its cost grows with their cube.
"""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from tokensieve.pretrain.classifier.frozen_features import Design, fit_scaler
from tokensieve.pretrain.errors import FitError


class LogisticConfig(BaseModel):
    """Penalties to choose from (`c`, larger is freer), and when a fit counts as done.

    `steps` bounds the iterations; `tolerance` is on the largest entry of the gradient of the mean loss.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    c: list[float] = Field(default=[0.01, 0.1, 1.0, 10.0, 100.0], min_length=1)
    steps: int = Field(default=500, ge=1)
    tolerance: float = Field(default=1e-6, gt=0)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A linear head on standardised features: float64 [K] and a bias."""

    weight_K: np.ndarray
    bias: float


def fit_logistic(
    design: Design, value_N: np.ndarray, c: float, config: LogisticConfig, start: Linear | None = None
) -> Linear:
    """The minimum for one C, from `start` on (zeros)."""
    theta = torch.zeros(design.width + 1, dtype=torch.float64)
    if start is not None:
        theta[:-1], theta[-1] = torch.from_numpy(start.weight_K), start.bias
    optimizer = torch.optim.LBFGS(
        [theta],
        max_iter=config.steps,
        max_eval=2 * config.steps,
        tolerance_grad=config.tolerance,
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )
    value = torch.from_numpy(np.ascontiguousarray(value_N, dtype=np.float32))

    def closure() -> Tensor:
        loss, theta.grad = objective(design, value, theta, c)
        return loss

    optimizer.step(closure)
    return Linear(weight_K=theta[:-1].numpy().copy(), bias=float(theta[-1]))


def objective(design: Design, value_N: Tensor, theta: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """Mean loss plus penalty / (C N), and its gradient float64 [K + 1]; the last entry of theta is the bias."""
    rows, weight = len(design), theta[:-1].float()
    loss, slope = torch.zeros((), dtype=torch.float64), torch.zeros_like(theta)
    for part, x_nK in design.chunks():
        logits_n = x_nK @ weight + theta[-1].float()
        loss += functional.binary_cross_entropy_with_logits(logits_n, value_N[part], reduction="none").double().sum()
        off_n = torch.sigmoid(logits_n) - value_N[part]
        slope[:-1] += (x_nK.T @ off_n).double()
        slope[-1] += off_n.double().sum()
    penalty = theta[:-1] / (c * rows)
    slope = slope / rows
    slope[:-1] += penalty
    return loss / rows + theta[:-1] @ penalty / 2, slope


def fit_document_head(
    features_DK: np.ndarray, positive_D: np.ndarray, ridge: float = 1e-3, steps: int = 30
) -> tuple[np.ndarray, float]:
    """Weights float64 [K] and bias of P(positive) for raw features.

    Both classes weigh the same; `ridge` is per document, on standardised features.

    Raises:
        FitError: one of the classes has no document.
    """
    share = positive_D.mean() if len(positive_D) else 0.0
    if not 0 < share < 1:
        raise FitError(
            f"the document head needs documents of both classes; {positive_D.sum()} of {len(positive_D)} are positive"
        )
    scaler = fit_scaler([features_DK])
    standard_DK = (features_DK - scaler.mean_K) / scaler.scale_K
    x_DK = np.concatenate([standard_DK, np.ones((len(standard_DK), 1))], axis=1)
    weight_D = np.where(positive_D, 0.5 / share, 0.5 / (1 - share)) / len(positive_D)
    penalty_K = np.full(x_DK.shape[1], ridge)
    penalty_K[-1] = 0.0
    beta_K = np.zeros(x_DK.shape[1])
    for _ in range(steps):
        p_D = 1 / (1 + np.exp(-np.clip(x_DK @ beta_K, -30, 30)))
        slope_K = x_DK.T @ (weight_D * (p_D - positive_D)) + penalty_K * beta_K
        curve_KK = (x_DK * (weight_D * np.maximum(p_D * (1 - p_D), 1e-6))[:, None]).T @ x_DK + np.diag(penalty_K)
        step_K = np.linalg.solve(curve_KK, slope_K)
        beta_K -= step_K
        if np.abs(step_K).max() < 1e-8:
            break
    return scaler.fold(beta_K[:-1], float(beta_K[-1]))
