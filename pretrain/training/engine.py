"""One model and its optimizer on Megatron's own path: DDP, per-token loss, clipping, AdamW, cosine.

Gradients are the mean over all loss-bearing tokens of the *global* batch, whatever share of each microbatch
is masked. (The paper's code averages each microbatch by itself: sparse ones weigh too much.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from megatron.core.optimizer import OptimizerConfig as MegatronOptimizerConfig
from megatron.core.optimizer import get_megatron_optimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
from megatron.core.pipeline_parallel.schedules import get_forward_backward_func
from megatron.core.transformer.module import Float16Module

from pretrain.training.config import OptimizerConfig, PretrainConfig
from pretrain.training.model import build_model


@dataclass(frozen=True, kw_only=True)
class Microbatch:
    """B samples on the device: ids int64, `loss_mask_BT` float32, 1 where the label bears loss."""

    samples: tuple[int, ...]
    tokens_BT: torch.Tensor
    labels_BT: torch.Tensor
    loss_mask_BT: torch.Tensor
    position_ids_BT: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class BatchLoss:
    """Sums over one global batch. `loss_sums_M` has this rank's microbatches only, to find a bad one."""

    loss_sum: float
    loss_tokens: int
    loss_sums_M: tuple[float, ...]


class Engine:
    """Build it inside `process_group` and `model_parallel` (and `cpu_shim` on a CPU)."""

    def __init__(
        self,
        config: PretrainConfig,
        *,
        padded_vocab_size: int,
        steps: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        model = build_model(
            config.model, padded_vocab_size=padded_vocab_size, seq_length=config.seq_length, dtype=dtype
        ).to(device)
        self._settings = model.config
        self._settings.finalize_model_grads_func = finalize_model_grads
        self._model = model
        wrapped = Float16Module(model.config, model) if dtype == torch.bfloat16 else model
        self._ddp = DistributedDataParallel(
            model.config, DistributedDataParallelConfig(grad_reduce_in_fp32=dtype == torch.bfloat16), wrapped
        )
        self._optimizer = get_megatron_optimizer(_optimizer_settings(config.optimizer, dtype), [self._ddp])
        self._scheduler = _scheduler(config.optimizer, self._optimizer, steps)
        self._forward_backward = get_forward_backward_func()
        self._attention_mask = _causal_mask(config.seq_length) if device.type == "cpu" else None
        self._device = device

    @property
    def lr(self) -> float:
        """Learning rate of the next update."""
        return float(self._optimizer.param_groups[0]["lr"])

    def accumulate(self, microbatches: Sequence[Microbatch]) -> BatchLoss:
        """Forward and backward of this rank's microbatches of one global batch; leaves the mean gradient."""
        self._ddp.zero_grad_buffer()
        self._optimizer.zero_grad()
        batch_size, seq_length = microbatches[0].tokens_BT.shape
        reports: Any = self._forward_backward(
            forward_step_func=self._forward_step,
            data_iterator=iter(microbatches),
            model=[self._ddp],
            num_microbatches=len(microbatches),
            seq_length=seq_length,
            micro_batch_size=batch_size,
            forward_only=False,
        )
        sums_M2 = torch.stack(reports)
        total_2 = sums_M2.sum(dim=0)
        dist.all_reduce(total_2)
        loss_sum, loss_tokens = float(total_2[0]), int(total_2[1])
        return BatchLoss(loss_sum=loss_sum, loss_tokens=loss_tokens, loss_sums_M=tuple(sums_M2[:, 0].tolist()))

    def update(self) -> float:
        """Clip the gradient, take one optimizer step and return the gradient's norm before clipping."""
        outcome: Any = self._optimizer.step()  # (done, gradient norm, zeros)
        return float(outcome[1])

    def advance(self) -> None:
        """Move the schedule on by one step, whether or not there was an update."""
        self._scheduler.step(increment=1)

    def gradients(self) -> dict[str, torch.Tensor]:
        """Mean gradient of every parameter after `accumulate` (float32)."""
        return {name: parameter.main_grad for name, parameter in self._model.named_parameters()}  # type: ignore[attr-defined]

    def weights(self) -> dict[str, torch.Tensor]:
        """Every parameter by Megatron's name, on the CPU and contiguous."""
        parameters = self._model.named_parameters()
        return {name: parameter.detach().to("cpu").contiguous() for name, parameter in parameters}

    def _forward_step(self, batches: Iterator[Microbatch], model: torch.nn.Module) -> tuple:
        batch = next(batches)
        losses_BT = model(batch.tokens_BT, batch.position_ids_BT, self._attention_mask, labels=batch.labels_BT)
        return losses_BT, partial(_masked_sum, batch.loss_mask_BT)


def _masked_sum(mask_BT: torch.Tensor, losses_BT: torch.Tensor) -> tuple:
    """Megatron's three-part answer: summed loss, its token count, and what to report (float64)."""
    total = (losses_BT.float() * mask_BT).sum()
    count = mask_BT.sum()
    return total, count.to(torch.int), torch.stack([total.detach().double(), count.double()])


def _causal_mask(seq_length: int) -> torch.Tensor:
    """True where attention is forbidden, (1, 1, T, T); one for the run, not one per sample."""
    return torch.ones(1, 1, seq_length, seq_length, dtype=torch.bool).triu(diagonal=1)


def _optimizer_settings(config: OptimizerConfig, dtype: torch.dtype) -> MegatronOptimizerConfig:
    return MegatronOptimizerConfig(
        optimizer="adam",
        lr=config.lr,
        min_lr=config.lr * config.min_lr_ratio,
        weight_decay=config.weight_decay,
        adam_beta1=config.beta1,
        adam_beta2=config.beta2,
        adam_eps=config.eps,
        clip_grad=config.clip_grad,
        bf16=dtype == torch.bfloat16,
        params_dtype=dtype,
    )


def _scheduler(config: OptimizerConfig, optimizer: object, steps: int) -> OptimizerParamScheduler:
    warmup = min(round(config.warmup_fraction * steps), steps - 1)
    return OptimizerParamScheduler(
        optimizer,  # type: ignore[arg-type]
        init_lr=config.lr / warmup if warmup else 0.0,  # Megatron's default 0 would waste the first step
        max_lr=config.lr,
        min_lr=config.lr * config.min_lr_ratio,
        lr_warmup_steps=warmup,
        lr_decay_steps=steps,
        lr_decay_style="cosine",
        start_wd=config.weight_decay,
        end_wd=config.weight_decay,
        wd_incr_steps=steps,
        wd_incr_style="constant",
    )
