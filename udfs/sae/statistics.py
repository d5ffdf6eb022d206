"""How often and how strongly each latent fires, as sums that merge; and the thresholds that follow from them.

Plain sums instead of Welford's recurrence: a merge is then an addition, and with activations (never negative, mostly
0) mean and spread are of one size, so the difference of squares keeps 12 digits in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from tokensieve.udfs.sae.slice import SaeError

Rule = Literal["mean_std_all", "mean_std_nonzero"]
"""Over which tokens mean and SD are taken: all, zeros counted (the paper's text), or those that fire. On a sparse
latent the first marks fifty times as many tokens as the second."""

STATISTICS_SCHEMA = pa.schema(
    [
        pa.field("latent_id", pa.int32()),
        pa.field("count", pa.int64()),
        pa.field("sum", pa.float64()),
        pa.field("square_sum", pa.float64()),
        pa.field("nonzero", pa.int64()),
        pa.field("max", pa.float32()),
    ]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """Of K latents over `count` tokens.

    Attributes:
        latent_id_K: int32 ascending.
        sum_K, square_sum_K: float64; nonzero_K: int64 tokens on which the latent fires; max_K: float32, 0 for none.
    """

    latent_id_K: np.ndarray
    count: int
    sum_K: np.ndarray
    square_sum_K: np.ndarray
    nonzero_K: np.ndarray
    max_K: np.ndarray

    @classmethod
    def of(cls, latent_id_K: np.ndarray, count: int, column_N: np.ndarray, value_N: np.ndarray) -> "Statistics":
        """Of `count` tokens with N firings: int indices into the latents, and activations above 0."""
        size = len(latent_id_K)
        exact_N = value_N.astype(np.float64)
        max_K = np.zeros(size, dtype=np.float32)
        np.maximum.at(max_K, column_N, value_N)
        return cls(
            latent_id_K=latent_id_K,
            count=count,
            sum_K=np.bincount(column_N, weights=exact_N, minlength=size),
            square_sum_K=np.bincount(column_N, weights=exact_N**2, minlength=size),
            nonzero_K=np.bincount(column_N, minlength=size).astype(np.int64),
            max_K=max_K,
        )

    @classmethod
    def empty(cls, latent_id_K: np.ndarray) -> "Statistics":
        """Of no token."""
        return cls.of(latent_id_K, 0, np.zeros(0, np.int64), np.zeros(0, np.float32))

    def merge(self, other: "Statistics") -> "Statistics":
        """Of both sets of tokens. Raises SaeError when the latents differ."""
        if not np.array_equal(self.latent_id_K, other.latent_id_K):
            raise SaeError("statistics of different latents cannot be merged")
        return Statistics(
            latent_id_K=self.latent_id_K,
            count=self.count + other.count,
            sum_K=self.sum_K + other.sum_K,
            square_sum_K=self.square_sum_K + other.square_sum_K,
            nonzero_K=self.nonzero_K + other.nonzero_K,
            max_K=np.maximum(self.max_K, other.max_K),
        )

    def where(self, latents: Sequence[int] | np.ndarray) -> "Statistics":
        """Of these latents, ascending. Raises SaeError when one is missing."""
        wanted = np.unique(np.asarray(latents, dtype=np.int64))
        missing = np.setdiff1d(wanted, self.latent_id_K)
        if len(missing):
            raise SaeError(f"no statistics of latents {missing[:10].tolist()}; run `tokensieve label sae stats`")
        at = np.searchsorted(self.latent_id_K, wanted)
        return Statistics(
            latent_id_K=self.latent_id_K[at],
            count=self.count,
            sum_K=self.sum_K[at],
            square_sum_K=self.square_sum_K[at],
            nonzero_K=self.nonzero_K[at],
            max_K=self.max_K[at],
        )

    def moments(self, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (of the population) under a rule: float64 [K] each, NaN over no token."""
        if rule not in get_args(Rule):
            raise SaeError(f"rule {rule!r}: use one of {', '.join(get_args(Rule))}")
        tokens_K = np.full(len(self.sum_K), self.count) if rule == "mean_std_all" else self.nonzero_K
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_K = self.sum_K / tokens_K
            variance_K = self.square_sum_K / tokens_K - mean_K**2
        return mean_K, np.sqrt(np.maximum(variance_K, 0))

    def thresholds(self, rule: Rule, k: float) -> np.ndarray:
        """mean + k SD, float64 [K]; infinite for a latent that never fired: nothing is known of it, it never votes."""
        mean_K, std_K = self.moments(rule)
        return np.where(self.nonzero_K > 0, mean_K + k * std_K, np.inf)

    def to_arrow(self) -> pa.RecordBatch:
        """One row a latent, of STATISTICS_SCHEMA."""
        count_K = np.full(len(self.sum_K), self.count, dtype=np.int64)
        columns = (self.latent_id_K, count_K, self.sum_K, self.square_sum_K, self.nonzero_K, self.max_K)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, STATISTICS_SCHEMA, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=STATISTICS_SCHEMA)

    @classmethod
    def from_arrow(cls, rows: pa.Table | pa.RecordBatch) -> "Statistics":
        """The inverse of `to_arrow`, rows in any order. Raises SaeError when there are none."""
        if not rows.num_rows:
            raise SaeError("the statistics table is empty; run `tokensieve label sae stats` again")
        table = (pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows).sort_by("latent_id")
        columns = [table.column(name).to_numpy() for name in STATISTICS_SCHEMA.names]
        latent_id_K, count_K, sum_K, square_sum_K, nonzero_K, max_K = columns
        return cls(
            latent_id_K=latent_id_K,
            count=int(count_K[0]),
            sum_K=sum_K,
            square_sum_K=square_sum_K,
            nonzero_K=nonzero_K,
            max_K=max_K,
        )
