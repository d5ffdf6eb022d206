"""Checkpoints of one training run: weights and AdamW's moments as safetensors, the rest as JSON; no pickle.

A checkpoint is a folder that appears by one rename after everything in it is on disk, so a killed run leaves whole ones
only. The last two are kept: where the newest is damaged, the run goes on from the one before and says so. A checkpoint
is continued only by a run that would have written it; device, precision, threads, microbatch size and how often to log,
evaluate and save may change between the two.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tokensieve.pretrain.encoder.config import MaskedConfig, Objective, ShapeConfig
from tokensieve.pretrain.errors import TrainingError
from tokensieve.pretrain.hashed_file import file_sha256, replace_file
from tokensieve.pretrain.training.config import OptimizerConfig

FORMAT = "tokensieve-checkpoint/1"
KEPT = 2
_STATE, _ABOUT = "state.safetensors", "checkpoint.json"
_MOMENTS = ("exp_avg", "exp_avg_sq")


class CheckpointError(TrainingError):
    """No checkpoint of a run can be read."""


class ResumeError(TrainingError):
    """A folder's checkpoint belongs to another run."""


class Progress(BaseModel):
    """How far a run is; `heldout` is the last held-out loss by source, in nats a target."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    heldout: dict[str, float] = {}


class RunIdentity(BaseModel):
    """One training run of one objective.

    Attributes:
        vocabulary: rows of the embedding, padding counted. mask_id: the mask token's id, masked models only.
        sources: content id and share of each source, in the order of the configuration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: Objective
    seed: int
    tokenizer_sha256: str
    vocabulary: int
    mask_id: int | None
    model: ShapeConfig
    context: int
    step_tokens: int
    steps: int
    optimizer: OptimizerConfig
    masked: MaskedConfig | None
    sources: tuple[tuple[str, float], ...]
    heldout_share: float

    def require(self, other: "RunIdentity", where: str) -> None:
        """Raises ResumeError that names every field in which the run that wrote `where` differs from this one."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        wrong = [f"{key} was {theirs[key]}, is {mine[key]}" for key in mine if mine[key] != theirs[key]]
        if wrong:
            raise ResumeError(
                f"{where} belongs to another run: {'; '.join(wrong)}; put the settings back, or "
                "give another folder as `runs`"
            )


class _About(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    run: RunIdentity
    progress: Progress
    state_sha256: str


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint: its folder, whose run it is, how far it was, and the tensors."""

    folder: Path
    run: RunIdentity
    progress: Progress
    tensors: dict[str, Tensor]

    def weights(self) -> dict[str, Tensor]:
        """The model's state dict, float32."""
        return {name.removeprefix("model."): value for name, value in self.tensors.items() if name.startswith("model.")}

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Puts weights, moments and step count into a model and an optimizer of the same shape."""
        model.load_state_dict(self.weights())
        names = {id(weight): name for name, weight in model.named_parameters()}
        order = [names[id(weight)] for group in optimizer.param_groups for weight in group["params"]]
        step = torch.tensor(float(self.progress.step))
        state = {
            at: {"step": step.clone()} | {moment: self.tensors[f"{moment}.{name}"] for moment in _MOMENTS}
            for at, name in enumerate(order)
        }
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def save_checkpoint(
    folder: Path, run: RunIdentity, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer
) -> Path:
    """Writes `folder/step-N` beside its place, renames it, and deletes all but the last two."""
    target = folder / f"step-{progress.step:08d}"
    part = folder / f".{target.name}.{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file(_tensors(model, optimizer), part / _STATE)
    with (part / _STATE).open("rb") as stream:
        os.fsync(stream.fileno())
    about = _About(format=FORMAT, run=run, progress=progress, state_sha256=file_sha256(part / _STATE))
    replace_file(part / _ABOUT, (about.model_dump_json(indent=2) + "\n").encode())
    shutil.rmtree(target, ignore_errors=True)  # a damaged one that the run went back behind
    part.rename(target)
    for old in _folders(folder)[:-KEPT]:
        shutil.rmtree(old)
    return target


def last_checkpoint(folder: Path, report: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, None where there is none at all; leftovers of killed writes are removed.

    Raises CheckpointError: there are checkpoints and every one is damaged.
    """
    for leftover in folder.glob(".step-*"):
        shutil.rmtree(leftover)
    problems = []
    for path in reversed(_folders(folder)):
        try:
            return _load(path)
        except (OSError, ValidationError, CheckpointError) as error:
            problems.append(f"{path}: {error}")
            report(f"checkpoint {path} is damaged and passed over: {error}")
    if problems:
        raise CheckpointError(
            f"no checkpoint can be read; delete these folders to begin anew:\n{chr(10).join(problems)}"
        )
    return None


def _load(path: Path) -> Checkpoint:
    about = _About.model_validate_json((path / _ABOUT).read_bytes())
    if about.format != FORMAT:
        raise CheckpointError(f"format {about.format}, this version reads {FORMAT}")
    found = file_sha256(path / _STATE)
    if found != about.state_sha256:
        raise CheckpointError(f"{_STATE} has SHA-256 {found[:16]}, was written with {about.state_sha256[:16]}")
    return Checkpoint(folder=path, run=about.run, progress=about.progress, tensors=load_file(path / _STATE))


def _tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, weight in model.named_parameters():
        for moment in _MOMENTS:
            tensors[f"{moment}.{name}"] = optimizer.state[weight][moment]
    return {name: value.detach().to("cpu").contiguous() for name, value in tensors.items()}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))
