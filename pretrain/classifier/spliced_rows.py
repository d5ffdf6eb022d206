"""Training rows that switch topic in the middle, made from pieces of documents.

A document's label copied to all its tokens teaches the topic of the surroundings. Rows spliced from forbidden and other
pieces, with the label changing at the seams, make the classifier find where a topic starts and stops. The price is
seams that no author wrote. Rows are a function of (seed, step) alone, so a run can be repeated.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class SpliceConfig(BaseModel):
    """How rows are made; lengths in tokens.

    Attributes:
        rows, row_tokens: rows per step and tokens per row.
        unspliced: share of rows that are one stretch of one document.
        shortest, longest: of a piece, drawn uniformly in the logarithm.
        sentence_start: share of pieces that begin at a sentence; the others begin anywhere.
        near_share: share of negative pieces drawn from the near domain.
        near_domain: the domain that is easily taken for the positive one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(default=8, ge=1)
    row_tokens: int = Field(default=512, ge=8)
    unspliced: float = Field(default=0.25, ge=0, le=1)
    shortest: int = Field(default=6, ge=1)
    longest: int = Field(default=384, ge=1)
    sentence_start: float = Field(default=0.7, ge=0, le=1)
    near_share: float = Field(default=0.35, ge=0, le=1)
    near_domain: str = "biology"


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Tokens to draw pieces from.

    Attributes:
        ids_T, targets_T: token ids and float targets. known_T: bool, false where the target is not known.
        starts_S: positions of sentence starts, sorted. bounds_D1: documents' bounds.
        anchors_A: the positions that a piece is drawn at.
    """

    ids_T: np.ndarray
    targets_T: np.ndarray
    known_T: np.ndarray
    starts_S: np.ndarray
    bounds_D1: np.ndarray
    anchors_A: np.ndarray

    def piece(self, rng: np.random.Generator, length: int, at_sentence: bool) -> slice:
        """At most `length` tokens of one document, from an anchor, or from the start of its sentence."""
        at = int(self.anchors_A[rng.integers(len(self.anchors_A))])
        if at_sentence and len(self.starts_S):
            at = int(self.starts_S[np.searchsorted(self.starts_S, at, side="right") - 1])
        end = self.bounds_D1[np.searchsorted(self.bounds_D1, at, side="right")]
        return slice(at, min(at + length, int(end)))


@dataclass(frozen=True, kw_only=True)
class Pools:
    """The three kinds of pieces; `near` and `far` are one object where the corpus has only one of them.

    Where tokens have labels of their own, the three have the same tokens and differ in their anchors.
    """

    positive: Pool
    near: Pool
    far: Pool

    @property
    def all(self) -> list[Pool]:
        """Each stretch of tokens once."""
        return list({id(pool.ids_T): pool for pool in (self.positive, self.near, self.far)}.values())


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One step's R rows end to end: ids_T int64, targets_T float32, known_T bool, bounds_R1 int64."""

    ids_T: np.ndarray
    targets_T: np.ndarray
    known_T: np.ndarray
    bounds_R1: np.ndarray


def rows(pools: Pools, config: SpliceConfig, seed: int, step: int) -> Rows:
    """The rows of one step."""
    rng = np.random.default_rng([seed, step])
    made = [_row(pools, config, rng) for _ in range(config.rows)]
    pieces = [piece for row in made for piece in row]
    lengths_R = [sum(part.stop - part.start for _, part in row) for row in made]
    return Rows(
        ids_T=np.concatenate([pool.ids_T[part] for pool, part in pieces]).astype(np.int64),
        targets_T=np.concatenate([pool.targets_T[part] for pool, part in pieces]).astype(np.float32),
        known_T=np.concatenate([pool.known_T[part] for pool, part in pieces]),
        bounds_R1=np.concatenate([[0], np.cumsum(lengths_R)]).astype(np.int64),
    )


def _row(pools: Pools, config: SpliceConfig, rng: np.random.Generator) -> list[tuple[Pool, slice]]:
    positive = bool(rng.integers(2))
    if rng.random() < config.unspliced:
        pool = _pool(pools, config, rng, positive)
        return [(pool, pool.piece(rng, config.row_tokens, at_sentence=True))]
    row, left = [], config.row_tokens
    low, high = np.log(config.shortest), np.log(config.longest + 1)
    while left > 0:
        length = min(int(np.exp(rng.uniform(low, high))), left)
        pool = _pool(pools, config, rng, positive)
        part = pool.piece(rng, length, at_sentence=rng.random() < config.sentence_start)
        row.append((pool, part))
        left -= part.stop - part.start
        positive = not positive
    return row


def _pool(pools: Pools, config: SpliceConfig, rng: np.random.Generator, positive: bool) -> Pool:
    if positive:
        return pools.positive
    return pools.near if rng.random() < config.near_share else pools.far
