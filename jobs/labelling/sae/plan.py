"""The settings that SAE tasks get, made on the driver, where a model that does not fit the SAE is refused at once."""

from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import InputError
from jobs.labelling.config import LabelConfig
from jobs.labelling.sae.config import SaeConfig
from jobs.labelling.sae.inputs import slice_path
from udfs.sae.slice import SaeError, SaeSlice

if TYPE_CHECKING:
    from udfs.sae.latents import LatentSettings


def latent_settings(
    config: LabelConfig, sae: SaeConfig, kept: SaeSlice, latents: tuple[int, ...] | None
) -> "LatentSettings":
    """What a task loads. Raises InputError: torch or transformers missing, no such model, a model that does not fit."""
    if sae.revision is None and not Path(sae.model).is_dir():
        raise InputError(
            f"sae.model: {sae.model!r} is no folder here; for a model on the hub set sae.revision to its commit"
        )
    try:
        from udfs.sae.latents import LatentSettings
        from udfs.sae.model import ModelSettings, check_fit, model_config, model_identity

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
