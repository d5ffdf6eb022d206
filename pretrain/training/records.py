"""What a training run writes down: `metrics.jsonl` and `validation.jsonl` line by line, at the end weights and result.

A resumed run cuts the lines of steps that its checkpoint does not have. TensorBoard gets the same numbers if asked for.
A step's speed is tokens per second, and model FLOPs utilisation (MFU) where the device's peak is known: the FLOPs that
the model needs, not those that recomputation or padding add (Chowdhery et al. 2022, arXiv 2204.02311, appendix B).
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.training.config import PretrainConfig

# Dense bf16 peaks in FLOP/s from NVIDIA's data sheets, by a part of torch's device name.
PEAKS = {"H200": 989.5e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989.5e12, "A100": 312e12}


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One step. `loss` (mean over loss-bearing labels) and `grad_norm` are None when the step was skipped.

    `batch` identifies the global batch: a hash of its samples' ids and masks that does not depend on their order or on
    how they were spread over processes. Times are wall seconds; `mfu` is None where the device's peak is not known.
    """

    step: int
    loss: float | None
    loss_tokens: int
    tokens: int
    lr: float
    grad_norm: float | None
    batch: str
    seconds: float
    tokens_per_second: float
    mfu: float | None

    @property
    def skipped(self) -> bool:
        """True when no label of the global batch bore loss, so that there was no update."""
        return self.loss is None


@dataclass(frozen=True, kw_only=True)
class ValidationRecord:
    """Mean loss over a set's labels after `step` steps. `of`: the corpus and split that the set's text lies in."""

    step: int
    set: str
    of: str
    loss: float | None
    labels: int


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A finished run. Losses are those of the first and last step that had any; tokens are labels."""

    steps: int
    skipped_steps: int
    first_loss: float | None
    last_loss: float | None
    tokens: int
    loss_tokens: int
    flops: float
    seconds: float
    corpus_id: str
    validation: tuple[ValidationRecord, ...]


def finished(folder: Path) -> TrainResult | None:
    """The result of a run that has ended; None where none has. Raises TrainingError for one of another version."""
    path = folder / "train.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    try:
        measured = tuple(ValidationRecord(**one) for one in content.pop("validation"))
        return TrainResult(**content, validation=measured)
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{path}: not the result of this version ({error}); train again into {folder}") from None


class RunFolder:
    """The output folder. An unfinished run has `metrics.jsonl` but neither `train.json` nor weights.

    `steps_done` is 0 for a new run; for a resumed one, lines of later steps are cut. Raises TrainingError when
    TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, steps_done: int = 0, *, tensorboard: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("train.json", "model.safetensors", "config.json"):
            (folder / name).unlink(missing_ok=True)
        self._metrics = _continued(folder / "metrics.jsonl", "step", steps_done)
        self._validation = _continued(folder / "validation.jsonl", "step", steps_done + 1)
        self._board = _board(folder / "tensorboard", steps_done) if tensorboard else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.close()
        self._validation.close()
        if self._board:
            self._board.close()

    def step(self, record: StepRecord) -> None:
        """Append one line to `metrics.jsonl`; a killed run keeps the lines of the steps it did."""
        _append(self._metrics, asdict(record))
        if self._board:
            for name in ("loss", "loss_tokens", "lr", "grad_norm", "tokens_per_second", "mfu"):
                if getattr(record, name) is not None:
                    self._board.add_scalar(f"train/{name}", getattr(record, name), record.step)

    def validation(self, record: ValidationRecord) -> None:
        """Append one line to `validation.jsonl`."""
        _append(self._validation, asdict(record))
        if self._board and record.loss is not None:
            self._board.add_scalar(f"validation/{record.set}", record.loss, record.step)

    def finish(self, result: TrainResult, config: PretrainConfig, corpus: Corpus, weights: bytes) -> None:
        """Write weights, tokenizer and config, then `train.json`, whose presence says that the run is complete."""
        about = {
            "format": "tokensieve-model/1",
            "manifest_id": corpus.id,
            "tokenizer": corpus.tokenizer.model_dump(mode="json"),
            "pretrain": config.model_dump(mode="json"),
        }
        (self.folder / "tokenizer").mkdir(exist_ok=True)
        shutil.copyfile(corpus.tokenizer_file, self.folder / "tokenizer" / corpus.tokenizer_file.name)
        replace_file(self.folder / "model.safetensors", weights)
        replace_file(self.folder / "config.json", _json(about))
        replace_file(self.folder / "train.json", _json(asdict(result)))


def known_peak(device_name: str) -> float | None:
    """The dense bf16 peak of a GPU, FLOP/s; None for one that is not listed."""
    return next((peak for name, peak in PEAKS.items() if name in device_name), None)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """`flops_per_token`: forward and backward; `peak`: of one device, None where it is not known."""

    flops_per_token: float
    devices: int
    peak: float | None

    def tokens_per_second(self, tokens: int, seconds: float) -> float:
        return tokens / seconds

    def mfu(self, tokens: int, seconds: float) -> float | None:
        """Share of the peak that the step's own FLOPs used."""
        if self.peak is None:
            return None
        return self.flops_per_token * tokens / seconds / (self.devices * self.peak)


def _continued(path: Path, key: str, end: int) -> TextIO:
    """The file open for appending, with only the whole lines whose `key` is below `end`."""
    kept = []
    if end > 0 and path.is_file():
        whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        kept = [line for line in whole if json.loads(line)[key] < end]
    replace_file(path, "".join(kept).encode())
    return path.open("a", encoding="utf-8")


def _append(stream: TextIO, content: dict[str, Any]) -> None:
    stream.write(json.dumps(content, allow_nan=False) + "\n")
    stream.flush()


def _board(folder: Path, steps_done: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            f"pretrain.tensorboard is true but {error.name} is not installed; pip install 'tokensieve[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder), purge_step=steps_done)


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
