"""Verb `pretrain encoder`: trains the halves of a biLM, or a masked model, that classifiers are fitted on."""

from importlib.util import find_spec
from typing import Any

import typer

from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.pretrain.encoder.config import EncoderConfig


def run(config: EncoderConfig) -> dict[str, Any]:
    """Trains by the recipe, or goes on with it; returns steps, tokens and held-out losses of what is trained.

    Raises:
        InputError: torch is not installed. ConfigError: the checkpoints are those of other settings.
        DatasetError, ShardError, ManifestError, TrainingError: see `pretrain_encoder`.
    """
    if find_spec("torch") is None:
        raise InputError("torch is not installed; pip install 'tokensieve[score]'")
    from tokensieve.pretrain.encoder.checkpoint import ResumeError
    from tokensieve.pretrain.encoder.pretrain_encoder import pretrain_encoder

    try:
        made = pretrain_encoder(config, report=lambda line: typer.echo(line, err=True))
    except ResumeError as error:
        raise ConfigError(str(error)) from error
    result: dict[str, Any] = {
        "encoder": str(config.out) if made.encoder_written else None,
        "parameters": made.parameters,
        "parameters_outside_embedding": made.parameters_outside_embedding,
    }
    return result | {objective: done.model_dump(mode="json") for objective, done in made.progress.items()}
