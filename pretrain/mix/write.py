"""Puts a mix in its folder in one step: `blend.json` or `manifest.json` last, what it replaces removed afterwards.

A killed run leaves nothing that training would see, and running it again is the whole recovery. `mix.json` beside it
keeps the plan and the settings. One writer at a time.
"""

import json
import os
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from tokensieve.pretrain.errors import MixError
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.mix.config import MixConfig
from tokensieve.pretrain.mix.inputs import mix_id
from tokensieve.pretrain.mix.plan import MixPlan, Part, plan_mix
from tokensieve.pretrain.mix.shard_set import PREFIX, write_shard_set
from tokensieve.pretrain.shards.blend import FILE_NAME as BLEND
from tokensieve.pretrain.shards.blend import Blend, BlendSource
from tokensieve.pretrain.shards.manifest import FILE_NAME as MANIFEST
from tokensieve.pretrain.shards.manifest import Manifest

ABOUT = "mix.json"
OF_BLEND = "source-"  # folders of sources that a blend wrote anew


@dataclass(frozen=True, kw_only=True)
class WrittenMix:
    """A mix on disk. `id` is that of the manifest or of the blend."""

    id: str
    plan: MixPlan


def write_mix(config: MixConfig) -> WrittenMix:
    """Plans the mix and writes it to `config.out`. The same mix again gives the same bytes.

    Raises what `plan_mix` raises, and MixError: the output folder holds something else, score companions differ.
    """
    out = Path(config.out)
    plan, parts = plan_mix(config)
    _refuse_foreign(out, config, parts)
    for leftover in out.glob("_staging-*"):  # of a run that was killed
        shutil.rmtree(leftover)
    staging = out / f"_staging-{uuid.uuid4().hex}"
    try:
        staging.mkdir(parents=True)
        written = (_write_blend if config.output == "blend" else _write_shards)(config, plan, parts, out, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return WrittenMix(id=written, plan=plan)


def _write_shards(config: MixConfig, plan: MixPlan, parts: tuple[Part, ...], out: Path, staging: Path) -> str:
    made = staging / "shards"
    manifest = write_shard_set(made, config, parts)
    before = Manifest.load(out) if (out / MANIFEST).is_file() else None
    _about(config, plan, parts, out, manifest.id)
    for file in manifest.files():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / file, out / file)
    manifest.save(out)
    kept = manifest.files().keys()
    ours = [file.relative_to(out).as_posix() for file in (*out.glob(f"{PREFIX}*"), *out.glob(f"docs/{PREFIX}*"))]
    for file in {*ours, *(before.files() if before else ())} - kept:
        (out / file).unlink(missing_ok=True)
    return manifest.id


def _write_blend(config: MixConfig, plan: MixPlan, parts: tuple[Part, ...], out: Path, staging: Path) -> str:
    sources = [_blend_source(config, plan, part, out, staging) for part in parts]
    blend = Blend(name=config.name, sources=tuple(sources), tokens=plan.tokens)
    _about(config, plan, parts, out, blend.id)
    blend.save(out)
    for folder in out.glob(f"{OF_BLEND}*"):
        if folder.name not in {source.shards for source in sources}:
            shutil.rmtree(folder)
    return blend.id


def _blend_source(config: MixConfig, plan: MixPlan, part: Part, out: Path, staging: Path) -> BlendSource:
    """One source of the blend; a source with chosen documents is written to a folder of its own first."""
    manifest, shards = part.source.manifest, os.path.relpath(part.source.folder.resolve(), out.resolve())
    if part.chosen is not None:
        made = staging / part.source.name
        manifest = write_shard_set(made, config, (part,))
        shards = f"{OF_BLEND}{part.source.name}-{manifest.id}"
        if not (out / shards / MANIFEST).is_file():
            os.rename(made, out / shards)
    return BlendSource(
        name=part.source.name,
        shards=shards,
        manifest_id=manifest.id,
        weight=part.tokens / plan.tokens,
        epochs=part.epochs,
    )


def _about(config: MixConfig, plan: MixPlan, parts: tuple[Part, ...], out: Path, written: str) -> None:
    content = {
        "format": "tokensieve-mix/1",
        "mix_id": mix_id(config, [part.source for part in parts]),
        "written": written,
        "config": config.model_dump(mode="json", exclude={"out"}),
        "plan": asdict(plan),
    }
    replace_file(out / ABOUT, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def _refuse_foreign(out: Path, config: MixConfig, parts: tuple[Part, ...]) -> None:
    """Raises MixError where writing to `out` would replace something that is no mix of this kind."""
    for part in parts:
        if out.resolve() == part.source.folder.resolve():
            raise MixError(f"out: {out} is the folder of {part.source}; give the mix a folder of its own")
    other = MANIFEST if config.output == "blend" else BLEND
    for name in (MANIFEST, BLEND):
        if (out / name).is_file() and (name == other or not (out / ABOUT).is_file()):
            raise MixError(f"out: {out} holds a {name} that this mix would hide or replace; give another folder")
