"""Verbs `pretrain plan` and `pretrain train`: hand the shards and the section `pretrain` to the Megatron side."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from jobs.errors import ConfigError, InputError
from pretrain.config import PretrainConfig

if TYPE_CHECKING:
    from jobs.config import Config
    from pretrain.train import StepRecord


def plan(config: "Config") -> dict[str, Any]:
    """What a run would do. Raises ConfigError without a section `pretrain`, PlanError, ManifestError."""
    from pretrain.plan import plan

    made = plan(_section(config), config.tables.shards)
    return asdict(made) | {"lines": made.lines()}


def train(config: "Config") -> dict[str, Any]:
    """Plans, trains, and returns the result. Output: `<tables.root>/pretrain/`."""
    from pretrain.train import train

    section = _section(config)

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
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise InputError("torch is not installed; pip install 'tokensieve[pretrain]'") from error
    return config.pretrain
