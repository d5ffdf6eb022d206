"""Verbs `fit` and `fit weak-to-strong`: a recipe and labelled documents in, a classifier bundle out.

Beside Spark, on a CPU or one CUDA device. Label sets must be of the policy that the recipe names.
"""

import json
import math
from pathlib import Path
from typing import Any

import typer

from tokensieve.jobs.policies.bundles import input_errors
from tokensieve.jobs.policies.definition import load_definition
from tokensieve.pretrain.classifier.config import FitConfig


def run(config: FitConfig) -> dict[str, Any]:
    """Trains the bundle `config.out`; returns counts of documents and tokens.

    Raises ConfigError without such a policy, InputError: documents, labels, encoder or teacher are not what the recipe
    says, or a goal cannot be met on them.
    """
    from tokensieve.pretrain.classifier.recipe import fit

    named, definition_id = _of_policy(config)
    with input_errors():
        return fit(named, _say, definition_id=definition_id)


def weak_to_strong(weak: FitConfig, strong: FitConfig, out: Path, soft: bool) -> dict[str, Any]:
    """Trains three bundles below `out` and writes `recovered_gap.json` there; returns the recovered gap by metric.

    Raises as `run`; InputError, too, when the recipes do not read the same documents.
    """
    from tokensieve.pretrain.classifier.weak_to_strong import fit_weak_to_strong

    (weak, definition_id), (strong, _) = _of_policy(weak), _of_policy(strong)
    with input_errors():
        gaps = fit_weak_to_strong(weak, strong, out, _say, soft=soft, definition_id=definition_id)
    found: dict[str, Any] = {
        gap.metric: {
            "weak": gap.weak,
            "weak_to_strong": gap.weak_to_strong,
            "strong": gap.strong,
            "recovered": None if math.isnan(gap.value) else round(gap.value, 4),
            **({"reason": gap.reason} if gap.reason else {}),
        }
        for gap in gaps
    }
    (out / "recovered_gap.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def _of_policy(config: FitConfig) -> tuple[FitConfig, str]:
    """The recipe with its policy by name, where it gave a file, and the hash of the policy."""
    definition = load_definition(config.policy)
    return config.model_copy(update={"policy": definition.name}), definition.definition_id


def _say(line: str) -> None:
    typer.echo(line, err=True)
