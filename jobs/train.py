"""Verbs `pretrain plan`, `train`, `resume`, `eval`: hand the shards and the section `pretrain` to the Megatron side."""

from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import typer

from tokensieve.jobs.errors import InputError
from tokensieve.jobs.releases.training_runs import output_folder, planned, section, shards_folder

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config
    from tokensieve.pretrain.training.records import StepRecord, ValidationRecord


def plan(config: "Config") -> dict[str, Any]:
    """What a run would do. Raises ConfigError without a section `pretrain`, PlanError, ManifestError."""
    made = planned(config)
    return asdict(made) | {"lines": made.lines()}


def train(config: "Config", *, resume: bool = False) -> dict[str, Any]:
    """Plans, trains, and returns the result. Output: `pretrain.out`, or `<tables.root>/pretrain`."""
    from tokensieve.pretrain.training.train import train

    _require_megatron()
    settings = section(config)
    return asdict(train(settings, shards_folder(config), output_folder(config), progress=_shower(), resume=resume))


def resume(config: "Config") -> dict[str, Any]:
    """Goes on from the newest complete checkpoint; a run without one starts."""
    return train(config, resume=True)


def evaluate(config: "Config") -> dict[str, Any]:
    """The losses of a run's checkpoints and of its final weights; writes `evaluation.json` into the run's folder."""
    from tokensieve.pretrain.evaluate.checkpoint_losses import evaluate

    _require_megatron()
    table = evaluate(section(config), shards_folder(config), output_folder(config))
    return {"checkpoints": table.as_dict(), "lines": table.lines()}


def _require_megatron() -> None:
    missing = [name for name in ("torch", "megatron") if find_spec(name) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} not installed; pip install 'tokensieve[pretrain]'")


def _shower() -> "Callable[[StepRecord | ValidationRecord], None]":
    """Prints what a run reports, one line each."""

    def show(record: "StepRecord | ValidationRecord") -> None:
        from tokensieve.pretrain.training.records import StepRecord

        loss = "      -" if record.loss is None else f"{record.loss:7.4f}"
        if isinstance(record, StepRecord):
            mfu = "" if record.mfu is None else f"  MFU {record.mfu:.1%}"
            line = f"loss {loss}  loss tokens {record.loss_tokens:,}  {record.tokens_per_second:,.0f} tokens/s{mfu}"
        else:
            line = f"loss {loss}  on {record.set} ({record.labels:,} labels)"
        typer.echo(f"step {record.step:>6}  {line}", err=True)

    return show
