"""Sums per latent are those of numpy over the dense matrix, however the tokens were split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.udfs.sae.slice import SaeError
from tokensieve.udfs.sae.statistics import STATISTICS_SCHEMA, Statistics

IDS = np.array([5, 9, 40], np.int32)


def dense(tokens: int, seed: int, share: float = 0.3) -> np.ndarray:
    draw = np.random.default_rng(seed)
    values = np.where(draw.random((tokens, 3)) < share, draw.random((tokens, 3)) * 20, 0)
    return values.astype(np.float32)


def of(values_TK: np.ndarray) -> Statistics:
    row_N, column_N = np.nonzero(values_TK)
    return Statistics.of(IDS, len(values_TK), column_N, values_TK[row_N, column_N])


def test_zeros_count_in_the_mean_of_all_tokens_and_not_in_the_other():
    values_TK = np.array([[4, 0, 0], [0, 0, 0], [2, 1, 0], [0, 0, 0]], np.float32)
    made = of(values_TK)
    assert (made.count, made.nonzero_K.tolist(), made.max_K.tolist()) == (4, [2, 1, 0], [4, 1, 0])
    mean_K, std_K = made.moments("mean_std_all")
    assert mean_K.tolist() == [1.5, 0.25, 0]
    assert std_K.tolist() == pytest.approx(values_TK.std(axis=0).tolist())
    mean_K, std_K = made.moments("mean_std_nonzero")
    assert mean_K[:2].tolist() == [3, 1]
    assert std_K[:2].tolist() == [1, 0]


def test_threshold_is_mean_plus_k_deviations_and_a_silent_latent_never_votes():
    made = of(np.array([[4, 0, 0], [0, 0, 0], [2, 1, 0], [0, 0, 0]], np.float32))
    assert made.thresholds("mean_std_all", 2)[0] == pytest.approx(1.5 + 2 * np.sqrt(2.75))
    assert made.thresholds("mean_std_nonzero", 4).tolist()[:2] == [7, 1]
    assert made.thresholds("mean_std_all", 4)[2] == made.thresholds("mean_std_nonzero", 4)[2] == np.inf
    with pytest.raises(SaeError, match=r"rule 'median': use one of mean_std_all, mean_std_nonzero"):
        made.thresholds("median", 4)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=50)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_merged_parts_are_the_whole(sizes, seed):
    values_TK = dense(sum(sizes), seed)
    merged = Statistics.empty(IDS)
    for part in np.split(values_TK, np.cumsum(sizes)[:-1]):
        merged = merged.merge(of(part))
    whole = of(values_TK)
    assert merged.count == whole.count
    assert merged.nonzero_K.tolist() == whole.nonzero_K.tolist() == (values_TK > 0).sum(axis=0).tolist()
    assert merged.max_K.tolist() == whole.max_K.tolist()
    assert merged.sum_K == pytest.approx(whole.sum_K, rel=1e-13)
    assert merged.square_sum_K == pytest.approx(whole.square_sum_K, rel=1e-13)


def test_ten_million_tokens_keep_the_digits_that_float32_sums_lose():
    one = of(np.full((1000, 3), 3000.1, np.float32))
    merged = Statistics.empty(IDS)
    for _ in range(10_000):
        merged = merged.merge(one)
    mean_K, std_K = merged.moments("mean_std_all")
    assert mean_K[0] == pytest.approx(float(np.float32(3000.1)), rel=1e-12)
    assert std_K[0] < 0.01  # a difference of squares of 9e6 each


def test_rows_of_a_table_read_back_in_any_order_and_a_missing_latent_is_named():
    made = of(dense(50, 1))
    rows = made.to_arrow()
    assert rows.schema == STATISTICS_SCHEMA
    again = Statistics.from_arrow(rows.take([2, 0, 1]))
    assert again.latent_id_K.tolist() == [5, 9, 40]
    assert again.sum_K.tolist() == made.sum_K.tolist()
    assert again.where([40, 5]).max_K.tolist() == made.max_K[[0, 2]].tolist()
    with pytest.raises(SaeError, match=r"no statistics of latents \[6\]"):
        made.where([5, 6])
    with pytest.raises(SaeError, match="different latents"):
        made.merge(made.where([5]))
    with pytest.raises(SaeError, match="is empty"):
        Statistics.from_arrow(rows.slice(0, 0))
