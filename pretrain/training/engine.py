"""One model and its optimizer on Megatron's own path: DDP, per-token loss, clipping, AdamW, cosine.

Gradients are the mean over all loss-bearing tokens of the *global* batch, whatever share of each microbatch
is masked. (The paper's code averages each microbatch by itself: sparse ones weigh too much.)
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.pipeline_parallel.schedules import get_forward_backward_func
from megatron.core.transformer.module import Float16Module

from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.model import build_model
from tokensieve.pretrain.training.optimizer import build_optimizer, build_scheduler
from tokensieve.pretrain.training.parallel import Ranks
from tokensieve.pretrain.training.whole_model import whole_weights


@dataclass(frozen=True, kw_only=True)
class Microbatch:
    """B samples on the device: ids int64, `loss_mask_BT` float32, 1 where the label bears loss.

    `fingerprint` is the sum of the samples' hashes modulo 2 ** 64.
    """

    samples: tuple[int, ...]
    tokens_BT: torch.Tensor
    labels_BT: torch.Tensor
    loss_mask_BT: torch.Tensor
    position_ids_BT: torch.Tensor
    fingerprint: int = 0


@dataclass(frozen=True, kw_only=True)
class BatchLoss:
    """Sums over one global batch. `loss_sums_M` has this rank's microbatches only, to find a bad one; it is empty
    where a pipeline stage computes no loss. `flags` counts the processes that raised their flag."""

    loss_sum: float
    loss_tokens: int
    loss_sums_M: tuple[float, ...]
    fingerprint: int
    flags: int


class Engine:
    """Build it inside `process_group` and `model_parallel` (and `cpu_shim` on a CPU)."""

    def __init__(
        self,
        config: PretrainConfig,
        *,
        padded_vocab_size: int,
        steps: int,
        device: torch.device,
        ranks: Ranks,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model = build_model(
            config.model,
            padded_vocab_size=padded_vocab_size,
            seq_length=config.seq_length,
            dtype=dtype,
            pre_process=ranks.first_stage,
            post_process=ranks.last_stage,
            parallel=config.parallel,
        ).to(device)
        settings = self.model.config
        settings.finalize_model_grads_func = finalize_model_grads
        wrapped = Float16Module(settings, self.model) if dtype == torch.bfloat16 else self.model
        self._ddp = DistributedDataParallel(
            settings,
            DistributedDataParallelConfig(
                grad_reduce_in_fp32=dtype == torch.bfloat16,
                use_distributed_optimizer=config.parallel.distributed_optimizer,
            ),
            wrapped,
        )
        self.optimizer = build_optimizer(config.model, config.optimizer, [self._ddp], dtype, config.parallel)
        self.scheduler = build_scheduler(config.optimizer, self.optimizer, steps)
        self._forward_backward = get_forward_backward_func()
        self._attention_mask = _causal_mask(config.seq_length) if device.type == "cpu" else None
        self._device = device
        self._ranks = ranks

    @property
    def lr(self) -> float:
        """Learning rate of the next update, before any multiplier of a parameter group."""
        return float(self.scheduler.get_lr({}))

    def accumulate(self, microbatches: Sequence[Microbatch], flag: bool = False) -> BatchLoss:
        """Forward and backward of this rank's microbatches of one global batch; leaves the mean gradient."""
        self._ddp.zero_grad_buffer()
        self.optimizer.zero_grad()
        return self._run(microbatches, flag, forward_only=False)

    def evaluate(self, microbatches: Sequence[Microbatch]) -> BatchLoss:
        """The same without gradients and updates."""
        self._ddp.eval()
        with torch.no_grad():
            found = self._run(microbatches, False, forward_only=True)
        self._ddp.train()
        return found

    def _run(self, microbatches: Sequence[Microbatch], flag: bool, forward_only: bool) -> BatchLoss:
        batch_size, seq_length = microbatches[0].tokens_BT.shape
        reports: Any = self._forward_backward(
            forward_step_func=self._forward_step,
            data_iterator=iter(microbatches),
            model=[self._ddp],
            num_microbatches=len(microbatches),
            seq_length=seq_length,
            micro_batch_size=batch_size,
            forward_only=forward_only,
        )
        sums_M2 = torch.stack(reports) if reports else torch.zeros(0, 2, dtype=torch.float64, device=self._device)
        fingerprint = sum(batch.fingerprint for batch in microbatches) & (2**64 - 1)
        # Halves of 32 bits, whose sums over processes are exact in float64.
        own = torch.tensor([fingerprint >> 32, fingerprint & (2**32 - 1)], dtype=torch.float64, device=self._device)
        total_4 = torch.cat([sums_M2.sum(dim=0), own]) * float(self._ranks.counts_loss)
        total_5 = torch.cat([total_4, torch.tensor([flag], dtype=torch.float64, device=self._device)])
        dist.all_reduce(total_5)
        loss_sum, loss_tokens, high, low, flags = total_5.tolist()
        return BatchLoss(
            loss_sum=loss_sum,
            loss_tokens=int(loss_tokens) if math.isfinite(loss_tokens) else 0,
            loss_sums_M=tuple(sums_M2[:, 0].tolist()),
            fingerprint=((int(high) << 32) + int(low)) & (2**64 - 1),
            flags=int(flags),
        )

    def update(self) -> float:
        """Clip the gradient, take one optimizer step and return the gradient's norm before clipping."""
        outcome: Any = self.optimizer.step()  # (done, gradient norm, zeros)
        return float(outcome[1])

    def advance(self) -> None:
        """Move the schedule on by one step, whether or not there was an update."""
        self.scheduler.step(increment=1)

    def gradients(self) -> dict[str, torch.Tensor]:
        """Mean gradient of every parameter of this process after `accumulate` (float32)."""
        return {name: parameter.main_grad for name, parameter in self.model.named_parameters()}  # type: ignore[attr-defined]

    def weights(self) -> dict[str, torch.Tensor]:
        """Every parameter of the uncut model by Megatron's name, on the CPU; empty on all processes but the first."""
        return whole_weights(self.model, self._ranks)

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
