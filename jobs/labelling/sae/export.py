"""Verb `label sae export`: a released or local SAE in, our file of its kept latents out.

The only place that imports sae-lens, once, on one machine; udfs/sae/cut_slice.py cuts.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.config.labelling import LabelConfig, section
from tokensieve.jobs.config.sae import SaeConfig
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.labelling.sae.inputs import latent_ids, slice_path
from tokensieve.udfs.sae.cut_slice import cut
from tokensieve.udfs.sae.slice import SaeError

if TYPE_CHECKING:
    from sae_lens import SAE


def run(config: LabelConfig) -> dict[str, Any]:
    """Writes the slice and says what it is. Raises ConfigError, InputError: no such SAE, one that cannot be sliced."""
    sae = section(config, "sae", SaeConfig)
    latents = latent_ids(sae.latents)
    loaded = _load(sae)
    try:
        kept = cut(loaded, latents, release=sae.release, sae_id=sae.sae_id)
    except SaeError as error:
        raise InputError(str(error)) from error
    path = slice_path(config, sae)
    kept.save(path)
    return {
        "slice": str(path),
        "slice_id": kept.slice_id,
        "latents": len(kept.latent_id_K),
        "of": kept.spec.d_sae,
        "architecture": kept.spec.architecture,
        "layer": kept.spec.layer,
        "hook": kept.spec.hook,
        "model": str(kept.spec.model),
    }


def _load(sae: SaeConfig) -> "SAE[Any]":
    if (sae.release is None) == (sae.path is None):
        raise ConfigError("sae: export needs `release` and `sae_id`, or `path`, a folder written by sae-lens")
    try:
        from sae_lens import SAE
    except ImportError as error:
        raise InputError(f"{error.name} is not installed here; pip install 'tokensieve[sae]'") from error
    try:
        if sae.path is not None:
            return SAE.load_from_disk(Path(sae.path), device="cpu", dtype="float32")
        return SAE.from_pretrained(str(sae.release), str(sae.sae_id), device="cpu", dtype="float32")
    except (OSError, ValueError, KeyError) as error:
        where = f"sae.path {sae.path}" if sae.path else f"sae.release {sae.release}, sae_id {sae.sae_id}"
        raise InputError(f"{where}: sae-lens cannot load it: {type(error).__name__}: {error}") from error
