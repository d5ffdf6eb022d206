"""Configurations and corpora of the launcher's tests, and what Megatron-LM's parser would say to a list of words."""

import json
from pathlib import Path
from typing import Any

from tokensieve.pretrain.launch.config import LaunchConfig
from tokensieve.pretrain.training.config import PretrainConfig

# Rows that count upwards, a third of them masked: 80 documents of 21 tokens, 104 samples of 16.
COUNTING = [([*((start + i) % 50 + 1 for i in range(20)), 0], [1] * 5 + [0] * 5 + [1] * 11) for start in range(80)]
ARGUMENTS = json.loads((Path(__file__).parent / "core_v0.16.1_arguments.json").read_text())
GPUS = {"nodes": 2, "gpus_per_node": 4, "slurm": {}}


def pretrain(**changes: Any) -> PretrainConfig:
    settings = {
        "seq_length": 16,
        "micro_batch_size": 2,
        "global_batch_size": 16,
        "model": {"layers": 2, "hidden_size": 32, "heads": 4},
        "steps": 5,
        "seed": 7,
    }
    return PretrainConfig.model_validate(settings | changes)


def megatron_lm(checkout: str = "/opt/megatron-lm", launch: dict[str, Any] = GPUS, **options: Any) -> LaunchConfig:
    section = {"checkout": checkout, **options}
    return LaunchConfig.model_validate({**launch, "driver": "megatron-lm", "megatron_lm": section})


def with_splits(folder: Path, *splits: str) -> Path:
    """The corpus in `folder` with its shards in these splits."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    for shard, split in zip(content["shards"], splits, strict=True):
        shard["split"] = split
    path.write_text(json.dumps(content))
    return folder


def faults(words: list[str]) -> list[str]:
    """What the parser of core_v0.16.1 would refuse in a list of words; a word that starts with -- is an option."""
    found = []
    at = [place for place, word in enumerate(words) if word.startswith("--")]
    for begin, end in zip(at, [*at[1:], len(words)]):
        name, values = words[begin], words[begin + 1 : end]
        if name not in ARGUMENTS:
            found.append(f"{name}: no such option")
            continue
        option = ARGUMENTS[name]
        wanted = {None: 1, 0: 0}.get(option["nargs"])
        if wanted is not None and len(values) != wanted:
            found.append(f"{name}: takes {wanted} values, not {values}")
        found += [f"{name}: {value!r} is no {option['type']}" for value in values if not _is(option["type"], value)]
        found += [f"{name}: {value} not in {option['choices']}" for value in values if not _chosen(option, value)]
    twice = {words[place] for place in at if words.count(words[place]) > 1}
    return found + [f"{name}: given twice" for name in sorted(twice)]


def _is(kind: str | None, value: str) -> bool:
    try:
        {None: str, "int": int, "float": float}[kind](value)
    except ValueError:
        return False
    return True


def _chosen(option: dict[str, Any], value: str) -> bool:
    return option["choices"] is None or value in map(str, option["choices"])
