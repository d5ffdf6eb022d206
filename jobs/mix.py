"""Verbs `mix plan` and `mix write`: shard sets mixed at stated shares, for Megatron as a blend or one shard set.

Beside Spark: reads what `export` wrote. A mix is a YAML file of its own (`conf/mix/`).
"""

from dataclasses import asdict
from typing import Any

from tokensieve.pretrain.mix.config import MixConfig
from tokensieve.pretrain.mix.plan import MixPlan


def plan(config: MixConfig) -> dict[str, Any]:
    """What the mix would hold; writes nothing.

    Raises ManifestError, ShardError, DatasetError (MixError): sources that cannot be mixed so, with the numbers.
    """
    from tokensieve.pretrain.mix.plan import plan_mix

    return _shown(plan_mix(config)[0])


def write(config: MixConfig) -> dict[str, Any]:
    """Writes the mix to `config.out` and returns its plan and id. Raises as `plan`."""
    from tokensieve.pretrain.mix.write import write_mix

    written = write_mix(config)
    shown = _shown(written.plan)
    return shown | {
        "id": written.id,
        "out": config.out,
        "lines": [*shown["lines"], f"wrote {written.id} to {config.out}"],
    }


def _shown(plan: MixPlan) -> dict[str, Any]:
    return asdict(plan) | {"lines": plan.lines()}
