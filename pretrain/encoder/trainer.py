"""Trains one transformer by one objective on one device: AdamW, warm-up and cosine, clipping, checkpoints, a log.

As in arXiv 2601.21571 matrices decay and norm gains do not; the rate warms up linearly and falls by a cosine to a share
of its peak. Weights and moments are float32; on CUDA the forward pass runs in bf16 autocast. The gradient is the mean
over all targets of a step, however it is cut into microbatches. With one thread on a CPU, a run that was interrupted
ends with the same bits as one that was not; CUDA kernels do not promise that. `log.jsonl` has a line for every logged
step and for every held-out measurement.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from tokensieve.pretrain.encoder.checkpoint import Checkpoint, Progress, RunIdentity, last_checkpoint, save_checkpoint
from tokensieve.pretrain.encoder.config import EncoderConfig, MaskedConfig
from tokensieve.pretrain.encoder.corpus import Corpus, Packed
from tokensieve.pretrain.encoder.objective import Task, loss_sum, task
from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.hashing import salt
from tokensieve.pretrain.training.config import OptimizerConfig
from tokensieve.udfs.encoders.transformer import Transformer, TransformerConfig

_HELDOUT_STEP = -1  # the masks of held-out documents are the same at every measurement


def train(
    config: EncoderConfig, run: RunIdentity, corpus: Corpus, folder: Path, report: Callable[[str], None]
) -> Progress:
    """Trains until `run.steps`, from the last checkpoint in `folder` where there is one; returns how it ended.

    Raises:
        ResumeError, CheckpointError: the folder's checkpoints are another run's, or damaged.
        TrainingError: no GPU where one is asked for; a loss or gradient that is not finite, with its documents.
    """
    with _threads(config.threads):
        return _Trainer(config, run, corpus, folder, report).run()


def fresh_model(run: RunIdentity) -> Transformer:
    """The transformer before its first step, on the CPU; depends on the run's shape, objective and seed."""
    shape = TransformerConfig(**run.model.model_dump(), vocab_size=run.vocabulary, causal=run.objective != "masked")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(salt(run.seed, *run.objective.encode()) >> 1))
        return Transformer(shape)


def pick_device(asked: str) -> torch.device:
    """`auto` takes CUDA where there is one. Raises TrainingError."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device is cuda but torch sees no GPU; set device=cpu or auto")
    return torch.device("cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu")


def adamw(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """Fused; the rate is set before every step by `learning_rate`."""
    matrices = [weight for weight in model.parameters() if weight.ndim >= 2]
    vectors = [weight for weight in model.parameters() if weight.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """The rate of step `step` (from 0) of `steps`."""
    warm = round(config.warmup_fraction * steps)
    if step < warm:
        return config.lr * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return config.lr * (config.min_lr_ratio + (1 - config.min_lr_ratio) * cosine)


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """One optimiser step: mean loss in nats a target, gradient norm before clipping, tokens read so far."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class HeldoutLine:
    """Held-out loss in nats a target after so many steps: by source, and their mean weighted by share."""

    step: int
    heldout_loss: float
    heldout: dict[str, float]


class Log:
    """Appends lines; opening it drops those of steps after `step`, which a resumed run does again."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        old = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        kept = [line for line in old if _step(line) <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, "".join(f"{line}\n" for line in kept).encode())

    def write(self, line: StepLine | HeldoutLine) -> None:
        """Appends one line."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(line), allow_nan=False) + "\n")


class _Trainer:
    def __init__(
        self, config: EncoderConfig, run: RunIdentity, corpus: Corpus, folder: Path, report: Callable[[str], None]
    ) -> None:
        self._config, self._run, self._corpus, self._folder, self._report = config, run, corpus, folder, report
        self._device = pick_device(config.device)
        self._bf16 = config.precision == "bf16" or (config.precision == "auto" and self._device.type == "cuda")
        self._model = fresh_model(run).to(self._device)
        self._optimizer = adamw(self._model, config.optimizer)
        self._progress = self._resume(last_checkpoint(folder, report))
        self._log = Log(folder / "log.jsonl", self._progress.step)
        self._began, self._before = time.perf_counter(), self._progress

    def run(self) -> Progress:
        config, steps = self._config, self._run.steps
        while self._progress.step < steps:
            line = self._step(self._progress.step)
            self._advance(line)
            done = line.step == steps
            if line.step % config.log_every == 0 or line.step == 1 or done:
                self._log.write(line)
                self._report(self._shown(line))
            if line.step % config.heldout.every == 0 or done:
                self._measure()
            if line.step % config.checkpoint_every == 0 or done:
                save_checkpoint(self._folder, self._run, self._progress, self._model, self._optimizer)
        return self._progress

    def _resume(self, found: Checkpoint | None) -> Progress:
        if found is None:
            return Progress()
        self._run.require(found.run, str(found.folder))
        found.restore(self._model, self._optimizer)
        self._report(f"{self._run.objective}: going on from step {found.progress.step} ({found.folder})")
        return found.progress

    def _step(self, step: int) -> StepLine:
        rows = self._corpus.step(step)
        todo = [self._task(row, step) for row in rows]
        rate = learning_rate(self._config.optimizer, step, self._run.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._accumulate(todo)
        norm = float(nn.utils.clip_grad_norm_(self._model.parameters(), self._config.optimizer.clip_grad))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"{self._run.objective} step {step}: loss {loss}, gradient norm {norm} at rate {rate:.2e}; it read "
                f"{', '.join(f'{name} document {doc}' for row in rows for name, doc in row.origin)} and others; lower "
                f"optimizer.lr, the run goes on from its last checkpoint in {self._folder}"
            )
        self._optimizer.step()
        tokens = self._progress.tokens + sum(len(row.ids_T) for row in rows)
        seconds = time.perf_counter() - self._began
        speed = (tokens - self._before.tokens) / seconds
        return StepLine(step=step + 1, loss=loss, lr=rate, grad_norm=norm, tokens=tokens, tokens_per_second=speed)

    def _accumulate(self, todo: list[Task]) -> float:
        """Leaves the gradient of the mean loss over the step's targets and returns that loss."""
        targets = sum(len(part) for part in todo)
        if not targets:
            raise TrainingError("a step has nothing to predict: documents of one token, or too small batch.step_tokens")
        total = torch.zeros((), device=self._device)
        for part in todo:
            with self._autocast():
                loss = loss_sum(self._model, part.to(self._device)) / targets
            if len(part):
                loss.backward()
            total += loss.detach()
        return float(total)

    def _measure(self) -> None:
        """Held-out loss of every source, into log and progress."""
        shares = {source.name: source.share for source in self._config.sources}
        found = {name: self._heldout_loss(rows) for name, rows in self._corpus.heldout().items()}
        mean = sum(found[name] * shares[name] for name in found)
        step = self._progress.step
        self._progress = self._progress.model_copy(update={"heldout": found})
        self._log.write(HeldoutLine(step=step, heldout_loss=mean, heldout=found))
        by_source = ", ".join(f"{name} {loss:.4f}" for name, loss in found.items())
        self._report(f"{self._run.objective} step {step}: held-out loss {mean:.4f} ({by_source})")

    def _heldout_loss(self, rows: list[Packed]) -> float:
        total, targets = 0.0, 0
        for row in rows:
            todo = self._task(row, _HELDOUT_STEP)
            with torch.no_grad(), self._autocast():
                total += float(loss_sum(self._model, todo.to(self._device)))
            targets += len(todo)
        return total / max(targets, 1)

    def _task(self, row: Packed, step: int) -> Task:
        run = self._run
        settings, mask_id = run.masked or MaskedConfig(), run.mask_id or 0
        return task(run.objective, row, masked=settings, mask_id=mask_id, seed=run.seed, step=step)

    def _autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)

    def _advance(self, line: StepLine) -> None:
        seconds = self._before.seconds + time.perf_counter() - self._began
        update = {"step": line.step, "tokens": line.tokens, "seconds": seconds}
        self._progress = self._progress.model_copy(update=update)

    def _shown(self, line: StepLine) -> str:
        ahead = (self._run.steps - line.step) * self._run.step_tokens / line.tokens_per_second
        return (
            f"{self._run.objective} step {line.step}/{self._run.steps}  loss {line.loss:.4f}  rate {line.lr:.2e}  "
            f"{line.tokens_per_second:,.0f} tokens/s  {ahead / 60:.1f} min left"
        )


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:  # half a line, from a killed run
        return float("inf")
