"""What makes a run the same run: how far it is, and which settings a resumed run may change.

Needs no torch. The order of samples follows from corpus, seed, batch and length; how processes are cut, what is
measured and how often something is written do not enter, so a run may go on with other hardware. It goes on with the
manifest that it began with, as long as that is kept, whatever was exported since.
"""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.shards.manifest import kept_file
from tokensieve.pretrain.training.config import PretrainConfig

MARKER = "complete.json"  # of a checkpoint, written last

FREE = (
    "parallel",
    "micro_batch_size",
    "validation",
    "checkpoint",
    "device",
    "loader_workers",
    "tensorboard",
    "log_every",
    "peak_flops",
    "out",
    "shards",
    "manifest",
    "preset",
)


class Progress(BaseModel):
    """How far a run is. Sums over the steps done; tokens are labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps_done: int = 0
    skipped_steps: int = 0
    loss_tokens: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    seconds: float = 0.0


def identity(config: PretrainConfig) -> dict[str, JsonValue]:
    """The settings that a resumed run must share."""
    return config.model_dump(mode="json", exclude=set(FREE))


def corpus_of_run(out: Path) -> str | None:
    """The id of the manifest or blend that the run in a folder trains on, or has trained on; None before its first
    checkpoint."""
    if (out / "config.json").is_file():
        return json.loads((out / "config.json").read_text())["manifest_id"]
    markers = sorted((out / "checkpoints").glob(f"step-*/{MARKER}"))
    return json.loads(markers[-1].read_text())["corpus_id"] if markers else None


def with_own_manifest(config: PretrainConfig, shards: Path, out: Path) -> PretrainConfig:
    """The configuration; where it names no manifest, with the one that the run in `out` began with, if that is kept."""
    began = corpus_of_run(out) if config.manifest is None else None
    if began is None or not kept_file(shards, began).is_file():
        return config
    return config.model_copy(update={"manifest": began})


def refuse_another_run(
    config: PretrainConfig, corpus_id: str, then: dict[str, JsonValue], corpus_then: str, where: str
) -> None:
    """Raises TrainingError when a checkpoint is of another corpus or of other settings, each with both values."""
    if corpus_id != corpus_then:
        raise TrainingError(
            f"{where} was trained on corpus {corpus_then}, the shards are now {corpus_id}; use those. Where a release "
            "names them, `tokensieve refresh --as-of VERSION --rebuild FOLDER` makes them again"
        )
    now = identity(config)
    differing = [f"{key}: then {then.get(key)}, now {now.get(key)}" for key in now if then.get(key) != now.get(key)]
    if differing:
        raise TrainingError(
            f"{where} belongs to a run with other settings ({'; '.join(differing)}); use them, or another pretrain.out"
        )
