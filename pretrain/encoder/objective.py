"""What a model has to predict in a packed row: the next token, the previous one, or those under a mask.

Every objective turns a row into a `Task`: input ids, and the places whose features must name a target. No target lies
in another document than its place (released code: windows over borders, and "right" runs that were never reversed).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tokensieve.pretrain.encoder.config import MaskedConfig, Objective
from tokensieve.pretrain.encoder.corpus import Packed
from tokensieve.pretrain.hashing import below, mixed, salt
from tokensieve.udfs.encoders.transformer import Transformer
from tokensieve.udfs.packing.packed_row import PackedRow

LOGITS = 2**28  # in memory at once: 1 GiB in float32; more are made, and made again for the gradient, in chunks


@dataclass(frozen=True, kw_only=True)
class Task:
    """Input ids_T in N pieces; the features at place_L must predict target_L; all int64."""

    ids_T: Tensor
    bounds_N1: Tensor
    place_L: Tensor
    target_L: Tensor

    def __len__(self) -> int:
        """Targets."""
        return len(self.target_L)

    def to(self, device: torch.device) -> "Task":
        """A copy there, but for the bounds, which the model reads on the CPU."""
        there = {name: getattr(self, name).to(device, non_blocking=True) for name in ("ids_T", "place_L", "target_L")}
        return Task(**there, bounds_N1=self.bounds_N1)


def task(objective: Objective, row: Packed, *, masked: MaskedConfig, mask_id: int, seed: int, step: int) -> Task:
    """The task of one row; `masked`, `mask_id`, `seed` and `step` matter to the objective `masked` alone."""
    if objective == "masked":
        return _masked(row, masked.rate, mask_id, salt(seed, step))
    return _next(row) if objective == "left" else _previous(row)


def loss_sum(model: Transformer, todo: Task) -> Tensor:
    """Cross-entropy in nats, summed over the targets, float32."""
    (x_TD,) = model(todo.ids_T, todo.bounds_N1)
    total = x_TD.new_zeros((), dtype=torch.float32)
    chunk = max(1, LOGITS // model.config.vocab_size)
    for x_CD, target_C in zip(x_TD[todo.place_L].split(chunk), todo.target_L.split(chunk)):
        if len(todo) > chunk and torch.is_grad_enabled():
            total = total + checkpoint(_chunk_loss, model, x_CD, target_C, use_reentrant=False)
        else:
            total = total + _chunk_loss(model, x_CD, target_C)
    return total


def _chunk_loss(model: Transformer, x_CD: Tensor, target_C: Tensor) -> Tensor:
    return functional.cross_entropy(model.logits(x_CD).float(), target_C, reduction="sum")


def _next(row: Packed) -> Task:
    """The next token of the same piece; a piece's last token predicts nothing."""
    last_T = np.zeros(len(row.ids_T), bool)
    last_T[row.bounds_N1[1:] - 1] = True
    place_L = np.flatnonzero(~last_T)
    return Task(
        ids_T=torch.from_numpy(row.ids_T),
        bounds_N1=torch.from_numpy(row.bounds_N1),
        place_L=torch.from_numpy(place_L),
        target_L=torch.from_numpy(row.ids_T[place_L + 1]),
    )


def _previous(row: Packed) -> Task:
    """`_next` of pieces reversed by the encoder's own mirror, so that training and scoring cannot differ."""
    back_T = PackedRow(torch.from_numpy(row.bounds_N1), torch.device("cpu")).mirror_T.numpy()
    return _next(Packed(ids_T=row.ids_T[back_T], bounds_N1=row.bounds_N1, key_N=row.key_N, origin=row.origin))


def _masked(row: Packed, rate: float, mask_id: int, salted: np.uint64) -> Task:
    """Chosen by a hash of content, position, seed and step: however a step is cut into microbatches, it is the same."""
    length_N = np.diff(row.bounds_N1)
    position_T = np.arange(len(row.ids_T)) - np.repeat(row.bounds_N1[:-1], length_N)
    with np.errstate(over="ignore"):
        chosen_T = below(mixed(np.repeat(mixed(row.key_N ^ salted), length_N) + position_T.astype(np.uint64)), rate)
    return Task(
        ids_T=torch.from_numpy(np.where(chosen_T, mask_id, row.ids_T)),
        bounds_N1=torch.from_numpy(row.bounds_N1),
        place_L=torch.from_numpy(np.flatnonzero(chosen_T)),
        target_L=torch.from_numpy(row.ids_T[chosen_T]),
    )
