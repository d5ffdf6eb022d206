"""What the manifest of a mixed shard set says it was made from: the sources' inputs, put together.

A policy, bundle or rule that is the same in all sources keeps its name; one that differs gets the source's in front.
"""

import hashlib
import json

from tokensieve.pretrain.errors import MixError
from tokensieve.pretrain.mix.config import MixConfig
from tokensieve.pretrain.mix.plan import Part
from tokensieve.pretrain.mix.source import Source
from tokensieve.pretrain.shards.manifest import Inputs


def mixed_inputs(config: MixConfig, parts: tuple[Part, ...]) -> Inputs:
    """The inputs of a shard set that holds these parts. Raises MixError where the score companions differ."""
    sources = [part.source for part in parts]
    rules = {source.name: source.manifest.inputs.rule_id for source in sources}
    return Inputs(
        rule_id=_one_or_hash(rules),
        policies=_together({source.name: source.manifest.inputs.policies for source in sources}),
        bundles=_together({source.name: source.manifest.inputs.bundles for source in sources}),
        source_table={
            "mix": config.name,
            "mix_id": mix_id(config, sources),
            **{f"source.{source.name}": source.manifest.id for source in sources},
        },
        seed=config.seed,
        scores=mixed_scores(config, sources),
    )


def mix_id(config: MixConfig, sources: list[Source]) -> str:
    """16 hex digits that name the mix by its settings and its sources' content, not by where anything lies."""
    settings = config.model_dump(mode="json", exclude={"out": True, "clean": {"shards", "tables"}})
    for source in settings["sources"].values():
        del source["shards"], source["tables"]
    content = {"settings": settings, "manifests": {source.name: source.manifest.id for source in sources}}
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":")
    )  # not `content_id`: ids of mixes escape what is not ASCII
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def mixed_scores(config: MixConfig, sources: list[Source]) -> str | None:
    """The policy of the score companions that travel along. Raises MixError where some have another, or none."""
    if config.scores == "drop":
        return None
    found = {source.name: source.manifest.inputs.scores for source in sources}
    if len(set(found.values())) > 1:
        raise MixError(
            f"mix {config.name}: the score companions hold the scores of {found}; export all sources with those of one "
            "policy, or set scores: drop"
        )
    return next(iter(found.values()))


def _one_or_hash(rules: dict[str, str]) -> str:
    different = sorted(set(rules.values()))
    return different[0] if len(different) == 1 else hashlib.sha256(" ".join(different).encode()).hexdigest()[:16]


def _together(by_source: dict[str, dict[str, str]]) -> dict[str, str]:
    """`{key: value}` where every source that has the key agrees, `{source.key: value}` where not."""
    values: dict[str, set[str]] = {}
    for one in by_source.values():
        for key, value in one.items():
            values.setdefault(key, set()).add(value)
    return {
        key if len(values[key]) == 1 else f"{source}.{key}": value
        for source, one in by_source.items()
        for key, value in one.items()
    }
