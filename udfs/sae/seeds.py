"""From firing latents to labelled tokens: votes make seeds, seeds spread along tokens on which any latent fires.

The rule of arXiv 2601.21571 (appendix C): mean + k SD on at least 2 latents seeds a token; a token that touches a
labelled one and has any kept latent above 0 is labelled too, until nothing changes. That fixed point is: every run of
such tokens that holds a seed. Special tokens and document borders end a run.
"""

from dataclasses import dataclass

import numpy as np

from tokensieve.udfs.sae.activations import Activations
from tokensieve.udfs.spans.carry import carriers
from tokensieve.udfs.spans.intervals import Spans, runs


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedRule:
    """What makes a token a seed, for K latents.

    Attributes:
        threshold_K: float64; a latent votes where its activation lies above it.
        weight_K: float64 weights of the votes, 1 each for a plain count.
        votes: weights of the voting latents that a seed needs in sum, above 0 (2 for "at least 2 latents").
        propagate: whether seeds spread.
    """

    threshold_K: np.ndarray
    weight_K: np.ndarray
    votes: float
    propagate: bool = True

    def __post_init__(self) -> None:
        if not self.votes > 0:
            raise ValueError(f"a seed must need votes above 0, not {self.votes}: otherwise every token is one")


def labelled_tokens(activations: Activations, rule: SeedRule) -> np.ndarray:
    """The tokens that are labelled "forget", bool [T]."""
    size = len(activations.tokens.ids_T)
    above_N = activations.value_N > rule.threshold_K[activations.column_N]
    weight_N = rule.weight_K[activations.column_N[above_N]]
    votes_T = np.bincount(activations.position_N[above_N], weights=weight_N, minlength=size)
    seed_T = (votes_T >= rule.votes) & ~activations.special_T
    if not rule.propagate:
        return seed_T
    active_T = np.zeros(size, dtype=bool)
    active_T[activations.position_N] = True
    return propagate(seed_T, active_T, activations.special_T, activations.tokens.bounds_D1)


def propagate(seed_T: np.ndarray, active_T: np.ndarray, special_T: np.ndarray, bounds_D1: np.ndarray) -> np.ndarray:
    """Seeds, and the tokens that a chain of active tokens ties to one, bool [T].

    Args: bool [T] each; int64 [D + 1] document bounds. A special token is never labelled.
    """
    found = runs((seed_T | active_T) & ~special_T, bounds_D1)
    seeds_T1 = np.concatenate([[0], np.cumsum(seed_T & ~special_T)])
    found = found.where(seeds_T1[found.end_N] > seeds_T1[found.start_N])
    change_T1 = np.zeros(len(seed_T) + 1, dtype=np.int64)
    change_T1[found.start_N] += 1
    change_T1[found.end_N] -= 1
    return np.cumsum(change_T1[:-1]) > 0


def byte_spans(labelled_T: np.ndarray, bytes_T: np.ndarray, bounds_D1: np.ndarray) -> tuple[Spans, np.ndarray]:
    """Labelled tokens as spans of UTF-8 bytes.

    A token of no bytes stands for its carrier (`udfs.spans.carry.carriers`), which is labelled with it.

    Returns:
        N spans, each in bytes from the start of its own document, and int64 [N] the document of each.
    """
    owner_T = np.repeat(np.arange(len(bounds_D1) - 1), np.diff(bounds_D1))
    marked_T = np.zeros(len(bytes_T), dtype=bool)
    marked_T[carriers(bytes_T, bounds_D1)[labelled_T]] = True
    # On the axis of the tokens that have bytes, runs of marked ones are the spans.
    solid_T = bytes_T > 0
    solid_bounds_D1 = np.concatenate([[0], np.cumsum(solid_T)])[bounds_D1]
    found = runs(marked_T[solid_T], solid_bounds_D1)
    edge_S1 = np.concatenate([[0], np.cumsum(bytes_T[solid_T], dtype=np.int64)])
    owner_N = owner_T[solid_T][found.start_N]
    base_N = edge_S1[solid_bounds_D1[owner_N]]
    return Spans(start_N=edge_S1[found.start_N] - base_N, end_N=edge_S1[found.end_N] - base_N), owner_N
