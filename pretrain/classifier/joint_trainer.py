"""Fits encoder and token head together on spliced rows: AdamW, one-cycle cosine, fp32, no dropout.

For small encoders from scratch, and for fine-tuning given ones with a rate of their own. With the same number of
threads a run repeats itself.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from tokensieve.pretrain.classifier.spliced_rows import Rows
from tokensieve.udfs.bundles.bundle import stored

REPORT_EVERY = 100  # steps between two lines, whose loss is the mean over about as many


class TrainConfig(BaseModel):
    """Optimiser settings; `warmup` is a share of the steps, `final` a share of the peak learning rate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(default=4000, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.05, ge=0, le=1)
    final: float = Field(default=0.02, ge=0, le=1)
    clip: float = Field(default=1.0, gt=0)


def train(
    encoder: nn.Module,
    config: TrainConfig,
    batch: Callable[[int], Rows],
    *,
    report: Callable[[str], None],
    encoder_rate: float | None = None,
    device: str = "cpu",
) -> nn.Linear:
    """Trains the encoder in place on `batch(step)` for every step, and returns its token head.

    The loss is the binary cross-entropy per known token against targets in [0, 1]; a step whose rows have none changes
    nothing. The encoder ends frozen and rounded as a bundle stores it, so that this is what is measured afterwards.

    Args:
        encoder_rate: the encoder's peak learning rate; None: the head's, `config.learning_rate`.
    """
    encoder.to(device).train().requires_grad_(True)
    head = nn.Linear(int(getattr(encoder, "dim")), 1).to(device)  # noqa: B009  # an nn.Module's own attribute
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    parameters = [*encoder.parameters(), *head.parameters()]
    groups = _groups(encoder, head, config, encoder_rate or config.learning_rate)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, config))
    began, running, tokens = time.monotonic(), 0.0, 0
    for step in range(config.steps):
        rows = batch(step)
        loss = _loss(encoder, head, rows, device)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.clip)
        optimizer.step()
        schedule.step()
        running += (loss.item() - running) / min(step + 1, REPORT_EVERY)
        tokens += len(rows.ids_T)
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == config.steps:
            report(_progress(step + 1, config.steps, running, tokens, time.monotonic() - began))
    rounded(encoder)
    return head.requires_grad_(False)


def rounded(encoder: nn.Module) -> nn.Module:
    """The encoder with its weights rounded as a bundle stores them; frozen, in evaluation mode."""
    encoder.load_state_dict(stored(encoder.state_dict()))
    return encoder.eval().requires_grad_(False)


def _loss(encoder: nn.Module, head: nn.Linear, rows: Rows, device: str) -> torch.Tensor:
    ids_T, targets_T, known_T = (
        torch.from_numpy(array).to(device) for array in (rows.ids_T, rows.targets_T, rows.known_T)
    )
    logits_T = head(encoder(ids_T, torch.from_numpy(rows.bounds_R1)))[:, 0]
    losses_T = functional.binary_cross_entropy_with_logits(logits_T, targets_T, weight=known_T.float(), reduction="sum")
    return losses_T / known_T.sum().clamp(min=1)


def _groups(encoder: nn.Module, head: nn.Linear, config: TrainConfig, encoder_rate: float) -> list[dict[str, Any]]:
    """Encoder and head, each with its rate; norm gains and biases are not decayed."""
    return [
        {"params": [p for p in module.parameters() if (p.ndim >= 2) is matrix], "lr": rate, "weight_decay": decay}
        for module, rate in ((encoder, encoder_rate), (head, config.learning_rate))
        for matrix, decay in ((True, config.weight_decay), (False, 0.0))
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
