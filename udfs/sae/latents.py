"""Texts to the latents that fire on their tokens.

One model lives per Python worker. A text whose values are not finite is failed, not silent: NaN fires no latent, and
would otherwise pass for clean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from tokensieve.udfs.sae.activations import Activations
from tokensieve.udfs.sae.model import ModelSettings
from tokensieve.udfs.sae.residual import Residual
from tokensieve.udfs.sae.slice import SaeError, SaeSlice
from tokensieve.udfs.spans.intervals import owners


@dataclass(frozen=True, kw_only=True)
class LatentSettings:
    """Which latents of which model. The slice lies where every node can read it; `latents` None: all of it."""

    slice_path: str
    slice_id: str
    latents: tuple[int, ...] | None
    model: ModelSettings


class Latents:
    """A model and a slice of an SAE. Raises SaeError when they do not fit, or are not those that were planned."""

    def __init__(self, settings: LatentSettings) -> None:
        whole = SaeSlice.load(settings.slice_path)
        if whole.slice_id != settings.slice_id:
            raise SaeError(
                f"{settings.slice_path} is slice {whole.slice_id} on this machine, but the job was planned with "
                f"{settings.slice_id}; let every node see the same file"
            )
        self.slice = whole if settings.latents is None else whole.where(settings.latents)
        self._residual = Residual(settings.model, whole.spec)

    def __call__(self, texts: Sequence[str]) -> Activations:
        """What fires on D texts."""
        tokens = self._residual.tokenizer.encode(texts)
        positions, columns, values, broken = [_NONE], [_NONE], [np.zeros(0, np.float32)], [_NONE]
        for position_P, x_PD in self._residual.read(tokens):
            value_PK = self.slice.encode(x_PD)
            row_N, column_N = torch.nonzero(value_PK, as_tuple=True)
            positions.append(position_P[row_N.cpu().numpy()])
            columns.append(column_N.cpu().numpy())
            values.append(value_PK[row_N, column_N].cpu().numpy())
            broken.append(position_P[~torch.isfinite(x_PD).all(dim=1).cpu().numpy()])
        position_N, column_N, value_N = map(np.concatenate, (positions, columns, values))
        broken_D = np.unique(owners(np.concatenate(broken), tokens.bounds_D1))
        order_N = np.lexsort((column_N, position_N))
        order_N = order_N[~np.isin(owners(position_N[order_N], tokens.bounds_D1), broken_D)]
        return Activations(
            tokens=tokens,
            position_N=position_N[order_N],
            column_N=column_N[order_N].astype(np.int32),
            value_N=value_N[order_N],
            special_T=np.isin(tokens.ids_T, self._residual.special_ids),
            failed={d: f"misaligned: {why}" for d, why in tokens.failed.items()}
            | {int(d): "non_finite: the model gave NaN or infinity" for d in broken_D},
        )


_NONE = np.zeros(0, dtype=np.int64)


@lru_cache(maxsize=1)
def worker_latents(settings: LatentSettings) -> Latents:
    """The model of this Python worker: loaded by its first task, reused by all later ones."""
    return Latents(settings)
