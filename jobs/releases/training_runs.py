"""Which training runs there are, and which manifests each of them reads: directly, through a blend, or in a mix."""

import json
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from tokensieve.jobs.errors import ConfigError
from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.launch.launch import CONFIG
from tokensieve.pretrain.shards.blend import FILE_NAME as BLEND
from tokensieve.pretrain.shards.blend import Blend
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.run_identity import corpus_of_run

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config
    from tokensieve.pretrain.training.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run with a result or a checkpoint, or one that was launched.

    `manifests`: the ids of all that its text comes from, as far as known.
    """

    folder: Path
    corpus_id: str
    manifests: frozenset[str]
    ended: bool


def known_runs(config: "Config") -> list[Run]:
    """The runs in `pretrain.out` and `trace.runs`, in order of their folders."""
    named = {Path(path).absolute() for pattern in config.trace.runs for path in glob(pattern)}
    own = set() if config.pretrain is None else {output_folder(config)}
    found = ((folder, corpus_of_run(folder) or _launched_with(folder)) for folder in sorted(named | own))
    return [
        Run(
            folder=folder,
            corpus_id=corpus,
            manifests=frozenset({corpus, *_behind(folder, corpus)}),
            ended=(folder / "train.json").is_file(),
        )
        for folder, corpus in found
        if corpus is not None
    ]


def _launched_with(run: Path) -> str | None:
    """The manifest that `pretrain launch` wrote into the configuration of a run, which may still wait in a queue."""
    file = run / "launch" / CONFIG
    return OmegaConf.select(OmegaConf.load(file), "pretrain.manifest") if file.is_file() else None


def _behind(run: Path, corpus_id: str) -> set[str]:
    """The manifests that a blend or a mix was made of, where the shards of a finished run are still there."""
    settings = run / "config.json"
    shards = json.loads(settings.read_text())["pretrain"].get("shards") if settings.is_file() else None
    if shards is None:
        return set()
    try:
        if (Path(shards) / BLEND).is_file():
            blend = Blend.load(Path(shards))
            return {source.manifest_id for source in blend.sources} if blend.id == corpus_id else set()
        table = Manifest.load(Path(shards), corpus_id).inputs.source_table
    except ManifestError:
        return set()
    return {value for name, value in table.items() if name.startswith("source.")}


def planned(config: "Config") -> "Plan":
    """The run on the processes that section `launch` starts, at least as many as the model is cut into."""
    from tokensieve.pretrain.training.plan import plan

    settings = section(config)
    cut = settings.parallel.tensor * settings.parallel.pipeline
    return plan(settings, shards_folder(config), world_size=max(config.launch.world_size, cut))


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
    from tokensieve.pretrain.training.run_identity import with_own_manifest

    settings = with_own_manifest(section(config), shards_folder(config), output_folder(config))
    return config.model_copy(update={"pretrain": settings})


def section(config: "Config") -> PretrainConfig:
    """The section `pretrain`. Raises ConfigError without one."""
    if config.pretrain is None:
        raise ConfigError("the configuration has no section `pretrain`; see conf/demo.yaml for one")
    return config.pretrain
