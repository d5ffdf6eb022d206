"""Verbs `pretrain plan`, `train`, `resume`, `eval`: hand the shards and the section `pretrain` to the Megatron side."""

from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from jobs.errors import ConfigError, InputError
from pretrain.training.config import PretrainConfig

if TYPE_CHECKING:
    from jobs.config import Config
    from pretrain.training.plan import Plan
    from pretrain.training.records import StepRecord, ValidationRecord


def plan(config: "Config") -> dict[str, Any]:
    """What a run would do. Raises ConfigError without a section `pretrain`, PlanError, ManifestError."""
    made = planned(config)
    return asdict(made) | {"lines": made.lines()}


def planned(config: "Config") -> "Plan":
    """The run on the processes that section `launch` starts, at least as many as the model is cut into."""
    from pretrain.training.plan import plan

    settings = section(config)
    cut = settings.parallel.tensor * settings.parallel.pipeline
    return plan(settings, shards_folder(config), world_size=max(config.launch.world_size, cut))


def train(config: "Config", *, resume: bool = False) -> dict[str, Any]:
    """Plans, trains, and returns the result. Output: `pretrain.out`, or `<tables.root>/pretrain`."""
    from pretrain.training.train import train

    _require_megatron()
    settings = section(config)
    return asdict(train(settings, shards_folder(config), output_folder(config), progress=_shower(), resume=resume))


def resume(config: "Config") -> dict[str, Any]:
    """Goes on from the newest complete checkpoint; a run without one starts."""
    return train(config, resume=True)


def evaluate(config: "Config") -> dict[str, Any]:
    """The losses of a run's checkpoints and of its final weights; writes `evaluation.json` into the run's folder."""
    from pretrain.training.evaluate import evaluate

    _require_megatron()
    table = evaluate(section(config), shards_folder(config), output_folder(config))
    return {"checkpoints": table.as_dict(), "lines": table.lines()}


def shards_folder(config: "Config") -> Path:
    """What a run trains on: the folder of a manifest or of a blend."""
    named = section(config).shards
    return Path(named).absolute() if named else config.shards


def output_folder(config: "Config") -> Path:
    """Where a run writes its metrics, checkpoints and weights."""
    named = section(config).out
    return Path(named).absolute() if named else config.tables.folder / "pretrain"


def of_its_run(config: "Config") -> "Config":
    """The configuration with the manifest that the run in its folder began with, where it names none."""
    from pretrain.training.run_identity import with_own_manifest

    settings = with_own_manifest(section(config), shards_folder(config), output_folder(config))
    return config.model_copy(update={"pretrain": settings})


def section(config: "Config") -> PretrainConfig:
    """The section `pretrain`. Raises ConfigError without one."""
    if config.pretrain is None:
        raise ConfigError("the configuration has no section `pretrain`; see conf/demo.yaml for one")
    return config.pretrain


def _require_megatron() -> None:
    missing = [name for name in ("torch", "megatron") if find_spec(name) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} not installed; pip install 'tokensieve[pretrain]'")


def _shower() -> "Callable[[StepRecord | ValidationRecord], None]":
    """Prints what a run reports, one line each."""

    def show(record: "StepRecord | ValidationRecord") -> None:
        from pretrain.training.records import StepRecord

        loss = "      -" if record.loss is None else f"{record.loss:7.4f}"
        if isinstance(record, StepRecord):
            mfu = "" if record.mfu is None else f"  MFU {record.mfu:.1%}"
            line = f"loss {loss}  loss tokens {record.loss_tokens:,}  {record.tokens_per_second:,.0f} tokens/s{mfu}"
        else:
            line = f"loss {loss}  on {record.set} ({record.labels:,} labels)"
        typer.echo(f"step {record.step:>6}  {line}", err=True)

    return show
