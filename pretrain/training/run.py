"""The step loop of one training run on one process: microbatches in, records out, when to measure, save and stop."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from safetensors.torch import load_file, save

from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.samples.training_samples import TrainingSamples
from tokensieve.pretrain.training import checkpoint
from tokensieve.pretrain.training.batches import StepSamples, step_batches
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.engine import Engine, Microbatch
from tokensieve.pretrain.training.parallel import Ranks
from tokensieve.pretrain.training.plan import Plan
from tokensieve.pretrain.training.records import RunFolder, Speed, StepRecord, TrainResult, ValidationRecord, known_peak
from tokensieve.pretrain.training.run_identity import Progress, identity
from tokensieve.pretrain.training.step_share import Cut
from tokensieve.pretrain.training.validation import Validation


class Stopped(TrainingError):
    """The run was asked to end and has written a checkpoint."""

    exit_code = 128 + signal.SIGTERM


class Run:
    """The steps of one training run on this process."""

    def __init__(
        self,
        config: PretrainConfig,
        todo: Plan,
        corpus: Corpus,
        samples: TrainingSamples,
        device: torch.device,
        ranks: Ranks,
        out: Path,
    ) -> None:
        precision = "bf16" if config.precision == "auto" and device.type == "cuda" else config.precision
        self._config, self._plan, self._corpus, self._samples = config, todo, corpus, samples
        self._device, self._ranks, self._out = device, ranks, out
        self._engine = Engine(
            config,
            padded_vocab_size=todo.padded_vocab_size,
            steps=todo.steps,
            device=device,
            ranks=ranks,
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        )
        self._speed = _speed(config, todo, device, ranks)
        self._validation = Validation(config, corpus.folder, out / "index-cache", device, ranks)
        self._last_validation: list[ValidationRecord] = []
        self.progress = Progress()

    @property
    def corpus(self) -> Corpus:
        return self._corpus

    @property
    def first_process(self) -> bool:
        """True on the one process that writes."""
        return self._ranks.rank == 0

    def cut(self) -> Cut:
        """How the processes share the steps that are left."""
        return Cut(
            first_step=self.progress.steps_done,
            processes=self._ranks.world_size,
            tensor=self._ranks.tensor_size,
            pipeline=self._ranks.pipeline_size,
            micro_batch_size=self._config.micro_batch_size,
            global_batch_size=self._config.global_batch_size,
        )

    def resume(self, complete: checkpoint.Complete) -> None:
        """Goes on from a checkpoint; the next step reads the samples that come after it."""
        checkpoint.load(complete, self._engine)
        self.progress = complete.marker.progress

    def steps(self, folder: RunFolder | None, show: Callable[[StepRecord | ValidationRecord], None] | None) -> None:
        """Every step that is left of the plan. Raises Stopped after SIGTERM, with a checkpoint written."""
        first, end, every = self.progress.steps_done, self._plan.steps, self._config.checkpoint.every
        cut = self.cut()
        numbers = StepSamples(cut, self._ranks.data, first, end)
        per_step = len(cut.samples(first, self._ranks.data))
        batches = step_batches(self._samples, numbers, per_step, self._device, self._config.loader_workers)
        if first == end:  # killed between the last checkpoint and the result
            self._measure(folder, show)
        with _sigterm() as asked_to_stop:
            for step in range(first, end):
                record, stop = self._step(step, batches, asked_to_stop())
                self._count(record)
                if folder:
                    folder.step(record)
                    if show and (step % self._config.log_every == 0 or step == end - 1):
                        show(record)
                last = step == end - 1
                if last or (self._config.validation.every and (step + 1) % self._config.validation.every == 0):
                    self._measure(folder, show)
                if stop or (every and ((step + 1) % every == 0 or last)):
                    path = self._save()
                    if stop and not last:
                        raise Stopped(
                            f"stopped by SIGTERM after step {step}; {path} is complete, go on with `pretrain resume`"
                        )

    def result(self) -> TrainResult:
        """What the whole run did, resumed parts included."""
        return TrainResult(
            steps=self._plan.steps,
            skipped_steps=self.progress.skipped_steps,
            first_loss=self.progress.first_loss,
            last_loss=self.progress.last_loss,
            tokens=self._plan.tokens,
            loss_tokens=self.progress.loss_tokens,
            flops=self._plan.flops,
            seconds=self.progress.seconds,
            corpus_id=self._plan.corpus_id,
            validation=tuple(self._last_validation),
        )

    def weights(self) -> bytes:
        """All parameters as a safetensors file's bytes; empty on every process but the first. All call it."""
        weights = self._engine.weights()
        return save(weights, metadata={"manifest_id": self._plan.corpus_id}) if weights else b""

    def load_weights(self, file: Path) -> None:
        """Takes the weights of a finished run. One process only (no tensor or pipeline parallelism)."""
        if self._ranks.tensor_size * self._ranks.pipeline_size > 1:
            raise TrainingError(
                f"{file}: final weights are read by one model-parallel process; set pretrain.parallel to 1"
            )
        self._engine.model.load_state_dict(load_file(file), strict=False)

    def measure(self) -> list[ValidationRecord]:
        """The loss of every evaluation set now."""
        return self._validation.measure(self._engine, self.progress.steps_done)

    def _step(self, step: int, source: Iterator[list[Microbatch]], stop: bool) -> tuple[StepRecord, bool]:
        begin = time.perf_counter()
        batches = next(source)
        lr = self._engine.lr
        found = self._engine.accumulate(batches, flag=stop)
        if not math.isfinite(found.loss_sum):
            sums_M = found.loss_sums_M
            bad = [batch for batch, total in zip(batches, sums_M) if not math.isfinite(total)]
            raise TrainingError(self._blame(step, "the loss is not finite", bad))
        grad_norm = None
        if found.loss_tokens:
            grad_norm = self._engine.update()
            if not math.isfinite(grad_norm):
                what = f"the gradient norm is {grad_norm} (learning rate {lr})"
                raise TrainingError(self._blame(step, what, batches))
        self._engine.advance()
        tokens, seconds = self._config.global_batch_size * self._config.seq_length, time.perf_counter() - begin
        record = StepRecord(
            step=step,
            loss=found.loss_sum / found.loss_tokens if found.loss_tokens else None,
            loss_tokens=found.loss_tokens,
            tokens=tokens,
            lr=lr,
            grad_norm=grad_norm,
            batch=f"{found.fingerprint:016x}",
            seconds=seconds,
            tokens_per_second=self._speed.tokens_per_second(tokens, seconds),
            mfu=self._speed.mfu(tokens, seconds),
        )
        return record, found.flags > 0

    def _count(self, record: StepRecord) -> None:
        before = self.progress
        self.progress = Progress(
            steps_done=record.step + 1,
            skipped_steps=before.skipped_steps + record.skipped,
            loss_tokens=before.loss_tokens + record.loss_tokens,
            first_loss=record.loss if before.first_loss is None else before.first_loss,
            last_loss=before.last_loss if record.loss is None else record.loss,
            seconds=before.seconds + record.seconds,
        )

    def _measure(self, folder: RunFolder | None, show: Callable[[StepRecord | ValidationRecord], None] | None) -> None:
        self._last_validation = self.measure()
        for record in self._last_validation if folder else ():
            assert folder is not None
            folder.validation(record)
            if show:
                show(record)

    def _save(self) -> Path:
        return checkpoint.save(
            self._out,
            self._engine,
            self.progress,
            corpus_id=self._plan.corpus_id,
            settings=identity(self._config),
            keep_last=self._config.checkpoint.keep_last,
        )

    def _blame(self, step: int, what: str, batches: list[Microbatch]) -> str:
        if not batches:
            return f"step {step}: {what} on another process; see its error"
        origins = [self._samples.origin(index) for index in batches[0].samples]
        return (
            f"step {step}: {what} in samples {[list(batch.samples) for batch in batches]}; the first of them come "
            f"from {origins}; look at these documents with `tokensieve trace --step {step}`, or lower the learning rate"
        )


def _speed(config: PretrainConfig, todo: Plan, device: torch.device, ranks: Ranks) -> Speed:
    peak = config.peak_flops
    if peak is None and device.type == "cuda":
        peak = known_peak(torch.cuda.get_device_name(device))
    per_token = config.model.flops_per_token(todo.padded_vocab_size, config.seq_length)
    return Speed(flops_per_token=per_token, devices=ranks.world_size, peak=peak)


@contextmanager
def _sigterm() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM is noted, not obeyed; the value says whether it came."""
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True

    try:
        before = signal.signal(signal.SIGTERM, note)
    except ValueError:  # not the main thread: whoever runs us there decides about signals
        yield lambda: False
        return
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGTERM, before)
