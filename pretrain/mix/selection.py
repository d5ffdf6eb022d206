"""Which documents of a source a mix takes: by a hash of document and seed, never by position.

A larger share of the same source and seed takes the same documents and more, but for the last few. Traded away: one
document is chosen for its length, no more; a source of too long documents is refused, not searched for a subset sum.
"""

from dataclasses import dataclass

import numpy as np

from tokensieve.pretrain.errors import CoarseSourceError, ExhaustedSourceError
from tokensieve.pretrain.hashing import mixed, salt

GIVES_WAY = 32  # documents at the end of the choice that may give way to one that fits


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """K documents, some more than once when a source is repeated, but never twice in a pass.

    Attributes:
        documents_K: int64 numbers of documents, pass by pass in hash order. pass_K: int32, 0 for the first pass.
        tokens: how many they hold.
    """

    documents_K: np.ndarray
    pass_K: np.ndarray
    tokens: int


def hash_order(hash_D: np.ndarray, row_D: np.ndarray, seed: int) -> np.ndarray:
    """Document numbers, int64 [D], ordered by (document hash, seed); `row_D` decides between equal ids."""
    return sorted_places(mixed(hash_D ^ salt(seed)), row_D)


def sorted_places(key_N: np.ndarray, tie_N: np.ndarray) -> np.ndarray:
    """Places in order of key, int64 [N]; between equal keys, in order of `tie_N`."""
    order_N = np.argsort(key_N, kind="stable")
    sorted_N = key_N[order_N]
    return order_N if (sorted_N[1:] != sorted_N[:-1]).all() else np.lexsort((tie_N, key_N))


def choose(lengths_D: np.ndarray, order_D: np.ndarray, target: int, slack: int, repeats: bool, what: str) -> Chosen:
    """Documents in `order_D` that hold `target` tokens, give or take `slack`.

    `lengths_D` is int64. With `repeats`, whole passes and a part of one. `what` names the source in errors.
    Raises ExhaustedSourceError with the tokens that are missing, CoarseSourceError.
    """
    total = int(lengths_D.sum())
    refuse_exhausted(total, target, slack, repeats, what)
    whole, rest = divmod(target, total) if repeats else (0, min(target, total))
    part_K = _part(lengths_D, order_D, rest, slack, what)
    return Chosen(
        documents_K=np.concatenate([*[order_D] * whole, part_K]),
        pass_K=np.repeat(np.arange(whole + 1, dtype=np.int32), [len(order_D)] * whole + [len(part_K)]),
        tokens=whole * total + int(lengths_D[part_K].sum()),
    )


def refuse_exhausted(held: int, target: int, slack: int, repeats: bool, what: str) -> None:
    """Raises ExhaustedSourceError where `target` tokens are more than are held, and none may come twice."""
    if target - held > slack and not repeats:
        raise ExhaustedSourceError(
            f"{what}: {target:,} tokens are needed and it holds {held:,}; {target - held:,} are missing; lower the "
            "share or clean.tokens, set repeats: allow (for a source that is added), or export more documents"
        )


def _part(lengths_D: np.ndarray, order_D: np.ndarray, target: int, slack: int, what: str) -> np.ndarray:
    """The first documents that hold `target` tokens; if they end elsewhere, the last few give way to one that fits."""
    ends_D1 = np.concatenate([[0], np.cumsum(lengths_D[order_D])])
    count = int(np.searchsorted(ends_D1, target, side="right")) - 1  # documents that fit
    under = target - int(ends_D1[count])
    over = int(ends_D1[count + 1]) - target if count < len(order_D) else under + 1  # all are taken: nothing is missing
    if min(under, over) <= slack:
        return order_D[: count + (over < under)]
    for kept in range(count, max(-1, count - GIVES_WAY), -1):
        off_R = np.abs(lengths_D[order_D[kept:]] - (target - ends_D1[kept]))
        fitting = np.flatnonzero(off_R <= slack)
        if len(fitting):
            return np.append(order_D[:kept], order_D[kept + fitting[0]])
    raise CoarseSourceError(
        f"{what}: whole documents give {target - under:,} or {target + over:,} tokens, asked for are {target:,} +- "
        f"{slack:,}, and no other last document does better; raise the share, the tolerance or the clean part"
    )
