"""The document head: logistic regression on mean-pooled features of the frozen encoder (arXiv 2601.21571).

Fitted after the encoder, so that a document's label never pulls on the token features. Newton's method: with some
hundred features it converges in a few steps and has no learning rate to choose; its cost grows with their cube.
"""

import numpy as np

from pretrain.classifier.errors import FitError
from pretrain.classifier.heads.design import fit_scaler


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
