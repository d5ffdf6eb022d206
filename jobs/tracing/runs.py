"""Which training runs there are, and which manifests each of them reads: directly, through a blend, or in a mix."""

import json
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from jobs.train import output_folder
from pretrain.launch.launch import CONFIG
from pretrain.shards.blend import FILE_NAME as BLEND
from pretrain.shards.blend import Blend
from pretrain.shards.errors import ManifestError
from pretrain.shards.manifest import Manifest
from pretrain.training.run_identity import corpus_of_run

if TYPE_CHECKING:
    from jobs.config import Config


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
