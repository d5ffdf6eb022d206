"""What the SAE verbs have in common: the slice, the model under it, and whether the two fit, checked before any task.

The settings that tasks get are made here, on the driver, where a model that does not fit the SAE is refused at once.
The tables `sae/stats` and `sae/contexts` are Parquet whatever `tables.format` says, for `describe` and `select` read
them without Spark.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.config.sae import SaeConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.tables.table import Table
from tokensieve.udfs.sae.slice import SaeError, SaeSlice

if TYPE_CHECKING:
    from tokensieve.udfs.sae.latents import LatentSettings


def slice_path(config: LabelConfig, sae: SaeConfig) -> Path:
    """Where the slice lies, as an absolute path: executors work in folders of their own."""
    return Path(sae.slice).absolute() if sae.slice else config.tables.folder / "sae" / "slice.safetensors"


def load_slice(config: LabelConfig, sae: SaeConfig) -> SaeSlice:
    """The slice. Raises InputError as `SaeSlice.load` raises SaeError."""
    try:
        return SaeSlice.load(slice_path(config, sae))
    except SaeError as error:
        raise InputError(str(error)) from error


def latent_ids(given: tuple[int, ...] | str | None) -> tuple[int, ...] | None:
    """The ids that `sae.latents` names, ascending; None for all. Raises InputError: a file that has none, no ids."""
    if given is None or given == "all":
        return None
    ids = _read_ids(Path(given)) if isinstance(given, str) else list(given)
    if not ids or not all(isinstance(one, int) and one >= 0 for one in ids):
        raise InputError(
            f"sae.latents: {given if isinstance(given, str) else ids[:5]}: no latents, or not whole numbers"
        )
    return tuple(sorted(set(ids)))


def stats_table(config: LabelConfig) -> Table:
    """Statistics per latent (udfs/sae/statistics.py)."""
    return config.tables.table("sae/stats", "parquet")


def contexts_table(config: LabelConfig) -> Table:
    """Top contexts per latent (udfs/sae/contexts.py)."""
    return config.tables.table("sae/contexts", "parquet")


def latent_settings(
    config: LabelConfig, sae: SaeConfig, kept: SaeSlice, latents: tuple[int, ...] | None
) -> "LatentSettings":
    """What a task loads. Raises InputError: torch or transformers missing, no such model, a model that does not fit."""
    if sae.revision is None and not Path(sae.model).is_dir():
        raise InputError(
            f"sae.model: {sae.model!r} is no folder here; for a model on the hub set sae.revision to its commit"
        )
    try:
        from tokensieve.udfs.sae.latents import LatentSettings
        from tokensieve.udfs.sae.model import ModelSettings, check_fit, model_config, model_identity

        model = str(Path(sae.model).absolute()) if Path(sae.model).is_dir() else sae.model
        check_fit(sae.model, model_config(model, sae.revision), kept.spec)
        identity = model_identity(model, sae.revision)
    except ImportError as error:
        raise InputError(f"{error.name} is not installed here; pip install 'tokensieve[transformers]'") from error
    except SaeError as error:
        raise InputError(f"sae.model: {error}") from error
    return LatentSettings(
        slice_path=str(slice_path(config, sae)),
        slice_id=kept.slice_id,
        latents=latents,
        model=ModelSettings(
            model=model,
            revision=sae.revision,
            identity=identity,
            device=sae.device,
            dtype=sae.dtype,
            attention=sae.attention,
            window=sae.window,
            margin=sae.margin,
            token_budget=sae.token_budget,
            threads=sae.threads_per_task,
        ),
    )


def _read_ids(path: Path) -> list[int]:
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path, columns=["latent_id"]).column("latent_id").to_pylist()
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # Arrow's and JSON's errors are ValueErrors
        raise InputError(f"sae.latents: {path} cannot be read: {error}") from error
    found = content.get("latents") if isinstance(content, dict) else content
    if not isinstance(found, list):
        raise InputError(f"sae.latents: {path} holds neither a list of latents nor one under `latents`")
    return found
