"""Runs an encoder over whole documents: windows, packs filled to a token budget, every token's values in its place.

For the fitting of a classifier, in the windows and packs of the scoring stage, so that a recipe measures what a job
will compute.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tokensieve.udfs.packing.windows import gather, kept, packs, scatter, windows
from tokensieve.udfs.tokenizing.tokenizer import Tokenized

if TYPE_CHECKING:
    from torch import Tensor


def token_values(
    read: "Callable[[Tensor, Tensor], Tensor]",
    tokens: Tokenized,
    width: int,
    *,
    window: int,
    margin: int,
    token_budget: int,
    device: str = "cpu",
) -> np.ndarray:
    """What `read(ids_P, bounds_N1) -> [P, width]` says of all tokens, in float32: float32 [T, width].

    `read` gets packs of windows, ids int64 [P] on the device and window bounds int64 [N + 1] on the CPU; window, margin
    and budget are in tokens.
    """
    import torch

    cuts = windows(np.diff(tokens.bounds_D1), window, margin)
    values_TK = np.empty((len(tokens.ids_T), width), dtype=np.float32)
    for pack in packs(cuts.lengths_W, token_budget):
        ids_P, bounds_N1 = gather(tokens.ids_T, tokens.bounds_D1, cuts, pack)
        with torch.inference_mode():
            values_PK = read(torch.from_numpy(ids_P).to(device), torch.from_numpy(bounds_N1))
        from_P, _ = kept(cuts, pack)
        scatter(values_PK.cpu().numpy()[from_P], tokens.bounds_D1, cuts, pack, out_T=values_TK)
    return values_TK
