"""Verbs `pretrain plan` and `pretrain train`: hand the shards and the section `pretrain` to the Megatron side."""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from jobs.errors import ConfigError, InputError
from pretrain.training.config import PretrainConfig

if TYPE_CHECKING:
    from jobs.config import Config
    from pretrain.training.train import StepRecord


def plan(config: "Config") -> dict[str, Any]:
    """What a run would do. Raises ConfigError without a section `pretrain`, PlanError, ManifestError."""
    from pretrain.training.plan import plan

    made = plan(_section(config), config.tables.shards)
    return asdict(made) | {"lines": made.lines()}


def train(config: "Config") -> dict[str, Any]:
    """Plans, trains, and returns the result. Output: `<tables.root>/pretrain/`."""
    from pretrain.training.train import train

    section = _section(config)
    missing = [name for name in ("torch", "megatron") if find_spec(name) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} not installed; pip install 'tokensieve[pretrain]'")

    def show(record: "StepRecord") -> None:
        if record.step % section.log_every == 0 or record.step == 1:
            typer.echo(f"step {record.step:>6}  loss {record.loss:.4f}  loss tokens {record.loss_tokens:,}", err=True)

    return asdict(train(section, config.tables.shards, output_folder(config), progress=show))


def output_folder(config: "Config") -> Path:
    """Where a run writes its metrics and weights."""
    return config.tables.folder / "pretrain"


def _section(config: "Config") -> PretrainConfig:
    if config.pretrain is None:
        raise ConfigError("the configuration has no section `pretrain`; see conf/demo.yaml for one")
    return config.pretrain
