"""The step loop of one training run on one rank: microbatches in, records out, and when to stop.

Fetches its samples in the same process, since a sample costs about 0.1 ms; a GPU that outruns that wants the
workers of a torch DataLoader in front of `_microbatches`, which is left for a later version.
"""

import math
import time
from collections.abc import Callable, Iterator

import torch
from safetensors.torch import save

from pretrain.errors import TrainingError
from pretrain.samples.training_samples import TrainingSamples
from pretrain.training.config import PretrainConfig
from pretrain.training.distributed import Ranks
from pretrain.training.engine import Engine, Microbatch
from pretrain.training.plan import Plan
from pretrain.training.records import RunFolder, StepRecord, TrainResult


class Run:
    """The steps of one training run on this rank."""

    def __init__(
        self,
        config: PretrainConfig,
        todo: Plan,
        samples: TrainingSamples,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        precision = "bf16" if config.precision == "auto" and device.type == "cuda" else config.precision
        self._config, self._plan, self._samples, self._device, self._ranks = (
            config,
            todo,
            samples,
            device,
            ranks,
        )
        self._engine = Engine(
            config,
            padded_vocab_size=todo.padded_vocab_size,
            steps=todo.steps,
            device=device,
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        )

    def steps(self, folder: RunFolder | None, progress: Callable[[StepRecord], None] | None) -> TrainResult:
        """Every step of the plan; the order of samples depends on manifest and seed alone."""
        begin = time.perf_counter()
        losses: list[float | None] = []
        loss_tokens = 0
        for step in range(self._plan.steps):
            record = self._step(step)
            losses.append(record.loss)
            loss_tokens += record.loss_tokens
            if folder:
                folder.step(record)
                if progress and (step % self._config.log_every == 0 or step == self._plan.steps - 1):
                    progress(record)
        found = [loss for loss in losses if loss is not None]
        return TrainResult(
            steps=self._plan.steps,
            skipped_steps=len(losses) - len(found),
            first_loss=found[0] if found else None,
            last_loss=found[-1] if found else None,
            tokens=self._plan.tokens,
            loss_tokens=loss_tokens,
            seconds=time.perf_counter() - begin,
            manifest_id=self._plan.manifest_id,
        )

    def weights(self) -> bytes:
        """All parameters as a safetensors file's bytes."""
        return save(self._engine.weights(), metadata={"manifest_id": self._plan.manifest_id})

    def _step(self, step: int) -> StepRecord:
        begin = time.perf_counter()
        batches = list(self._microbatches(step))
        lr = self._engine.lr
        batch_loss = self._engine.accumulate(batches)
        if not math.isfinite(batch_loss.loss_sum):
            sums_M = batch_loss.loss_sums_M
            bad = [batch for batch, total in zip(batches, sums_M, strict=True) if not math.isfinite(total)]
            raise TrainingError(self._blame(step, "the loss is not finite", bad))
        grad_norm = None
        if batch_loss.loss_tokens:
            grad_norm = self._engine.update()
            if not math.isfinite(grad_norm):
                what = f"the gradient norm is {grad_norm} (learning rate {lr})"
                raise TrainingError(self._blame(step, what, batches))
        self._engine.advance()
        return StepRecord(
            step=step,
            loss=batch_loss.loss_sum / batch_loss.loss_tokens if batch_loss.loss_tokens else None,
            loss_tokens=batch_loss.loss_tokens,
            tokens=self._config.global_batch_size * self._config.seq_length,
            lr=lr,
            grad_norm=grad_norm,
            seconds=time.perf_counter() - begin,
        )

    def _microbatches(self, step: int) -> Iterator[Microbatch]:
        size, first = self._config.micro_batch_size, step * self._config.global_batch_size
        stride = size * self._ranks.world_size
        for start in range(first, first + self._config.global_batch_size, stride):
            chosen = range(start + size * self._ranks.rank, start + size * (self._ranks.rank + 1))
            rows = [self._samples[index] for index in chosen]

            def stack(name: str, rows: list[dict[str, torch.Tensor]] = rows) -> torch.Tensor:
                return torch.stack([row[name] for row in rows]).to(self._device, non_blocking=True)

            yield Microbatch(
                samples=tuple(chosen),
                tokens_BT=stack("tokens"),
                labels_BT=stack("labels"),
                loss_mask_BT=stack("loss_mask"),
                position_ids_BT=stack("position_ids"),
            )

    def _blame(self, step: int, what: str, batches: list[Microbatch]) -> str:
        if not batches:
            return f"step {step}: {what} on another rank; see its error"
        origins = [self._samples.origin(index) for index in batches[0].samples]
        return (
            f"step {step}: {what} in samples {[list(batch.samples) for batch in batches]}; the first of them come "
            f"from {origins}; look at these documents with `tokensieve trace`, or lower the learning rate"
        )
