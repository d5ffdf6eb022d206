"""A head with one hidden layer on frozen features: AdamW, stopped when calibration tokens no longer gain.

More than a probe can say, and more label noise that it can learn: paper 1 keeps to the probe for that reason.
"""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from tokensieve.pretrain.classifier.frozen_features import Design
from tokensieve.pretrain.errors import FitError
from tokensieve.udfs.bundles.heads import MlpHead

ACTIVATION = "gelu"


class MlpConfig(BaseModel):
    """Width of the hidden layer, and AdamW's settings.

    An epoch goes over all drawn tokens in batches of `batch`. Training ends when `patience` epochs have not lowered the
    loss of the calibration tokens, at the latest after `epochs`; the weights of the best epoch are kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    batch: int = Field(default=1024, ge=1)
    epochs: int = Field(default=30, ge=1)
    patience: int = Field(default=3, ge=1)


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """A fitted hidden layer on standardised features and how many epochs it took."""

    module: MlpHead
    epochs: int


def fit_mlp(
    train: Design, value_N: np.ndarray, calibration: Design, calibration_N: np.ndarray, config: MlpConfig, seed: int
) -> Mlp:
    """Fits on `train` and stops by `calibration`; targets may be soft."""
    generator = torch.Generator().manual_seed(seed)
    module = _fresh(train.width, config.hidden, generator)
    optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    value = torch.from_numpy(np.ascontiguousarray(value_N, dtype=np.float32))
    best, kept, at = np.inf, {}, 0
    for epoch in range(config.epochs):
        for rows in torch.randperm(len(train), generator=generator).split(config.batch):
            order = rows.sort().values  # memory-mapped rows are read in order
            loss = functional.binary_cross_entropy_with_logits(module(train.rows(order.numpy())), value[order])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        now = _loss(module, calibration, calibration_N)
        if now < best:
            best, at = now, epoch
            kept = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        elif epoch - at >= config.patience:
            break
    if not kept:
        raise FitError(f"the MLP's loss was never finite; lower head.learning_rate ({config.learning_rate})")
    module.load_state_dict(kept)
    return Mlp(module=module.eval().requires_grad_(False), epochs=at + 1)


def mlp_logits(module: MlpHead, design: Design) -> np.ndarray:
    """Scores of all rows: float32 [N]."""
    with torch.inference_mode():
        return np.concatenate([module(x_nK).numpy() for _, x_nK in design.chunks()])


def _fresh(width: int, hidden: int, generator: torch.Generator) -> MlpHead:
    module = MlpHead(width, hidden, ACTIVATION)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
            if parameter.ndim == 2:
                parameter.normal_(std=parameter.shape[1] ** -0.5, generator=generator)
    return module


def _loss(module: MlpHead, design: Design, value_N: np.ndarray) -> float:
    logits = torch.from_numpy(mlp_logits(module, design))
    wanted: Tensor = torch.from_numpy(np.ascontiguousarray(value_N, dtype=np.float32))
    return float(functional.binary_cross_entropy_with_logits(logits, wanted))
