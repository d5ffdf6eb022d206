"""Checkpoints of a run: `checkpoints/step-N/`, written by all processes, complete only with the marker `complete.json`.

The format is Megatron's torch_dist: any data- or tensor-parallel size may read it again. The marker lists every file
with its size, and the hashes of those that torch unpickles; a folder without it is what a killed save left behind.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist
from megatron.core import dist_checkpointing
from pydantic import BaseModel, ConfigDict, JsonValue

from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.hashed_file import file_sha256, replace_file
from tokensieve.pretrain.training.engine import Engine
from tokensieve.pretrain.training.run_identity import MARKER, Progress

UNPICKLED = ("common.pt", ".metadata")


class CheckpointError(TrainingError):
    """A checkpoint is damaged, or of another run."""


class Marker(BaseModel):
    """What `complete.json` says of its folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = "tokensieve-checkpoint/1"
    corpus_id: str
    progress: Progress
    settings: dict[str, JsonValue]
    """The run's configuration; `pretrain.training.run_identity` says which parts a resumed run may change."""
    sizes: dict[str, int]
    sha256: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Complete:
    """A complete checkpoint."""

    path: Path
    marker: Marker


def newest(folder: Path) -> Complete | None:
    """The complete checkpoint with the most steps below `folder/checkpoints`; None without one.

    Raises CheckpointError for a file that is missing, or has not the size or hash that the marker names.
    """
    found = _complete(folder)
    return _checked(found[-1]) if found else None


def every_complete(folder: Path) -> Iterator[Complete]:
    """All complete checkpoints, oldest first. Raises as `newest` does."""
    return map(_checked, _complete(folder))


def _checked(path: Path) -> Complete:
    marker = Marker.model_validate_json((path / MARKER).read_bytes())
    sizes = _sizes(path)
    for name, size in marker.sizes.items():
        if sizes.get(name) != size:
            raise CheckpointError(
                f"{path / name}: {sizes.get(name, 'no')} bytes, the checkpoint was written with {size}; "
                f"delete {path} to go on from the one before"
            )
    for name, expected in marker.sha256.items():
        if file_sha256(path / name) != expected:
            raise CheckpointError(f"{path / name}: changed since it was written; delete {path} to use the one before")
    return Complete(path=path, marker=marker)


def save(
    folder: Path, engine: Engine, progress: Progress, *, corpus_id: str, settings: dict[str, JsonValue], keep_last: int
) -> Path:
    """Writes one checkpoint and removes all but the last `keep_last`. Every process calls it."""
    path = folder / "checkpoints" / f"step-{progress.steps_done:08d}"
    first = dist.get_rank() == 0
    if first:
        shutil.rmtree(path, ignore_errors=True)  # of a save that was killed
        path.mkdir(parents=True)
    dist.barrier()
    dist_checkpointing.save(_state(engine, is_loading=False), str(path), ("torch_dist", 1))
    dist.barrier()
    if first:
        marker = Marker(
            corpus_id=corpus_id,
            progress=progress,
            settings=settings,
            sizes=_sizes(path),
            sha256={name: file_sha256(path / name) for name in UNPICKLED if (path / name).is_file()},
        )
        replace_file(path / MARKER, (marker.model_dump_json(indent=2) + "\n").encode())
        for old in _complete(folder)[:-keep_last]:
            (old / MARKER).unlink()  # first, so that a half-deleted checkpoint is never taken for a whole one
            shutil.rmtree(old)
    dist.barrier()
    return path


def clear(folder: Path) -> None:
    """Removes the checkpoints of an earlier run, which a new one in the same folder must not go on from."""
    if dist.get_rank() == 0:
        for path in _complete(folder):
            (path / MARKER).unlink()
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    dist.barrier()


def load(complete: Complete, engine: Engine) -> None:
    """Puts the checkpoint's state into the engine. Every process calls it, at any data- or tensor-parallel size."""
    state: Any = dist_checkpointing.load(_state(engine, is_loading=True), str(complete.path), ("torch_dist", 1))
    engine.model.load_state_dict(state["model"])
    engine.optimizer.load_state_dict(state["optimizer"])
    engine.scheduler.load_state_dict(state["scheduler"])


def _state(engine: Engine, *, is_loading: bool) -> dict[str, Any]:
    model = engine.model.sharded_state_dict()
    return {
        "model": model,
        "optimizer": engine.optimizer.sharded_state_dict(model, is_loading=is_loading),
        "scheduler": engine.scheduler.state_dict(),
    }


def _complete(folder: Path) -> list[Path]:
    found = (folder / "checkpoints").glob(f"step-*/{MARKER}")
    return sorted(one.parent for one in found if re.fullmatch(r"step-\d{8,}", one.parent.name))


def _sizes(path: Path) -> dict[str, int]:
    files = (one for one in path.rglob("*") if one.is_file() and one.name != MARKER)
    return {str(one.relative_to(path)): one.stat().st_size for one in sorted(files)}
