"""Which latents label, and what each vote weighs: from files that `select` and `describe` wrote, or from the config."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.config.sae import SaeConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.sae.inputs import latent_ids
from tokensieve.jobs.policies.definition import load_definition
from tokensieve.udfs.sae.slice import SaeError

if TYPE_CHECKING:
    from tokensieve.udfs.sae.slice import SaeSlice


def chosen_latents(config: LabelConfig, sae: SaeConfig, kept: "SaeSlice") -> tuple[tuple[int, ...], str]:
    """The latents that label, ascending, and where they come from.

    `sae/selected.json` below tables.root wins over `sae.latents`, of which it is a choice. Raises InputError: neither
    is there, the choice was made for another policy or slice, a latent that the slice lacks.
    """
    path = config.tables.folder / "sae" / "selected.json"
    if path.is_file():
        latents, origin = _selected(config, path, kept), str(path)
    elif sae.latents is not None:
        latents, origin = latent_ids(sae.latents) or tuple(kept.latent_id_K.tolist()), "sae.latents"
    else:
        raise InputError(
            f"no latents are chosen: {path} does not exist and sae.latents is not set; run `tokensieve label sae "
            "select`, or set sae.latents"
        )
    try:
        kept.where(latents)
    except SaeError as error:
        raise InputError(f"{origin}: {error}") from error
    return latents, origin


def vote_weights(path: str, latents: tuple[int, ...]) -> np.ndarray:
    """The weight of each latent, float64 [K], from a JSON object or a Parquet file. Raises InputError: one has none."""
    try:
        if path.endswith(".parquet"):
            table = pq.read_table(path, columns=["latent_id", "score"])
            found = dict(zip(table["latent_id"].to_pylist(), table["score"].to_pylist(), strict=True))
        else:
            with open(path, encoding="utf-8") as stream:
                found = {int(latent): weight for latent, weight in json.load(stream).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"sae.votes.weights: {path} cannot be read as weights of latents: {error}") from error
    weights = [found.get(latent) for latent in latents]
    missing = [latent for latent, weight in zip(latents, weights, strict=True) if not _is_weight(weight)]
    if missing:
        raise InputError(f"sae.votes.weights: {path} has no weight of at least 0 for latents {missing[:10]}")
    return np.array(weights, dtype=np.float64)


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and np.isfinite(value) and value >= 0


def _selected(config: LabelConfig, path: Any, kept: "SaeSlice") -> tuple[int, ...]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        latents, definition_id = content["latents"], content["definition_id"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a choice of latents ({error}); run `tokensieve label sae select`") from error
    definition = load_definition(config.policy)
    if definition_id != definition.definition_id:
        raise InputError(
            f"{path}: chosen for policy {content.get('policy')} ({definition_id}), but this project's policy is "
            f"{definition.name} ({definition.definition_id}); run `tokensieve label sae select` again"
        )
    if content.get("slice_id", kept.slice_id) != kept.slice_id:
        raise InputError(
            f"{path}: chosen from slice {content['slice_id']}, but the slice is {kept.slice_id}; run `stats`, "
            "`describe` and `select` again"
        )
    if not latents:
        raise InputError(f"{path}: no latent was selected, so nothing can be labelled; see its `rejected`")
    return tuple(sorted(latents))
