"""What a training run writes down: `metrics.jsonl` line by line, then the weights and `train.json`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pretrain.hashed_file import replace_file
from pretrain.shards.manifest import Manifest
from pretrain.training.config import PretrainConfig


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One step. `loss` (mean over loss-bearing labels) and `grad_norm` are None when the step was skipped."""

    step: int
    loss: float | None
    loss_tokens: int
    tokens: int
    lr: float
    grad_norm: float | None
    seconds: float

    @property
    def skipped(self) -> bool:
        """True when no label of the global batch bore loss, so that there was no update."""
        return self.loss is None


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A finished run. Losses are those of the first and last step that had any; tokens are labels."""

    steps: int
    skipped_steps: int
    first_loss: float | None
    last_loss: float | None
    tokens: int
    loss_tokens: int
    seconds: float
    manifest_id: str


class RunFolder:
    """The output folder. An unfinished run has `metrics.jsonl` but neither `train.json` nor weights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("train.json", "model.safetensors", "config.json"):
            (folder / name).unlink(missing_ok=True)
        self._metrics = (folder / "metrics.jsonl").open("w", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.close()

    def step(self, record: StepRecord) -> None:
        """Append one line to `metrics.jsonl`; a killed run keeps the lines of the steps it did."""
        self._metrics.write(json.dumps(asdict(record), allow_nan=False) + "\n")
        self._metrics.flush()

    def finish(self, result: TrainResult, config: PretrainConfig, manifest: Manifest, weights: bytes) -> None:
        """Write weights and config, then `train.json`, whose presence says that the run is complete."""
        about = {
            "format": "tokensieve-model/1",
            "manifest_id": manifest.id,
            "tokenizer": manifest.tokenizer.model_dump(mode="json"),
            "pretrain": config.model_dump(mode="json"),
        }
        replace_file(self.folder / "model.safetensors", weights)
        replace_file(self.folder / "config.json", _json(about))
        replace_file(self.folder / "train.json", _json(asdict(result)))


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
