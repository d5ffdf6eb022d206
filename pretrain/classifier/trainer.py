"""Fits encoder and token head together on spliced rows: AdamW, one-cycle cosine, fp32, no dropout.

Small enough to run on two CPU cores in minutes. Seeded; with the same number of threads a run repeats itself.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from pretrain.classifier.splice import Rows
from udfs.encoders import build


class TrainConfig(BaseModel):
    """Optimiser settings; `warmup` is a share of the steps, `final` a share of the peak learning rate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(default=4000, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.05, ge=0, le=1)
    final: float = Field(default=0.02, ge=0, le=1)
    clip: float = Field(default=1.0, gt=0)
    report_every: int = Field(default=100, ge=1)


def train(
    encoder_config: dict[str, Any],
    config: TrainConfig,
    batch: Callable[[int], Rows],
    *,
    embedding_VD: np.ndarray,
    seed: int,
    report: Callable[[str], None],
) -> tuple[nn.Module, nn.Linear]:
    """Trains on `batch(step)` for every step; returns the encoder, rounded to float16, and the token head.

    Training begins with the token embeddings `embedding_VD`; the loss is the binary cross-entropy per token against
    targets in [0, 1]. Rounding happens here, so that what is measured afterwards is what a bundle stores.
    """
    torch.manual_seed(seed)
    encoder = build(encoder_config)
    with torch.no_grad():
        encoder.get_parameter("embedding.weight").copy_(torch.from_numpy(embedding_VD))
    head = nn.Linear(embedding_VD.shape[1], 1)
    nn.init.zeros_(head.weight)
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(_groups(parameters, config), lr=config.learning_rate, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, config))
    began, running, tokens = time.monotonic(), 0.0, 0
    for step in range(config.steps):
        rows = batch(step)
        loss = _loss(encoder, head, rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.clip)
        optimizer.step()
        schedule.step()
        running += (loss.item() - running) / min(step + 1, config.report_every)
        tokens += len(rows.ids_T)
        if (step + 1) % config.report_every == 0 or step + 1 == config.steps:
            report(_progress(step + 1, config.steps, running, tokens, time.monotonic() - began))
    return _rounded(encoder), head


def _loss(encoder: nn.Module, head: nn.Linear, rows: Rows) -> torch.Tensor:
    features_TD = encoder(torch.from_numpy(rows.ids_T), torch.from_numpy(rows.bounds_R1))
    return functional.binary_cross_entropy_with_logits(head(features_TD)[:, 0], torch.from_numpy(rows.targets_T))


def _groups(parameters: list[nn.Parameter], config: TrainConfig) -> list[dict[str, Any]]:
    """Norm gains and biases are not decayed."""
    matrices = [p for p in parameters if p.ndim == 2]
    vectors = [p for p in parameters if p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _rate(step: int, config: TrainConfig) -> float:
    warm = max(1, round(config.warmup * config.steps))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, config.steps - warm)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * done))


def _progress(step: int, steps: int, loss: float, tokens: int, seconds: float) -> str:
    left = seconds / step * (steps - step)
    return f"step {step}/{steps}  loss {loss:.4f}  {tokens / seconds:,.0f} tokens/s  {left / 60:.1f} min left"


def _rounded(encoder: nn.Module) -> nn.Module:
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.copy_(weight.to(torch.float16))
    return encoder.eval().requires_grad_(False)
