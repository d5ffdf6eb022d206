"""Two scores of the same documents, counted: equal to numpy on the pairs that have both, however they are batched."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.udfs.scores.compare_scores import PAIR_SCHEMA, compare_scores
from tokensieve.udfs.scores.count_scores import on_grid

scores = st.one_of(st.none(), st.floats(0, 1, width=32))


def batch(**columns: list[float | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: pa.array(values, pa.float32()) for name, values in columns.items()})


def histogram(value: bytes) -> dict[int, int]:
    counts_B = np.frombuffer(value, dtype="<i8")
    return {int(at): int(counts_B[at]) for at in np.flatnonzero(counts_B)}


def test_pairs_of_two_policies_over_two_batches():
    first = batch(before_a=[0.5, 0.25, None], after_a=[0.5, 0.75, 0.9], before_b=[0.0, 1.0, 0.5], after_b=[None] * 3)
    second = batch(before_a=[1.0], after_a=[0.0], before_b=[0.5], after_b=[0.5])
    (counted,) = compare_scores(["a", "b"], [first, second])
    assert counted.schema.names == [column.split()[0] for column in PAIR_SCHEMA.split(", ")]
    a, b = counted.to_pylist()
    # ln(1/3) * 16 = -17.6; 0 and 1 are the ends of the grid
    assert (histogram(a["before"]), histogram(a["after"])) == ({128: 1, 110: 1, 255: 1}, {128: 1, 146: 1, 0: 1})
    assert a["change"] == 0.5 - 1.0
    assert (a["before_sum"], a["after_sum"], a["products"]) == (493, 274, 128 * 128 + 110 * 146)
    assert (a["before_squares"], a["after_squares"]) == (128**2 + 110**2 + 255**2, 128**2 + 146**2)
    assert (histogram(b["before"]), histogram(b["after"]), b["change"]) == ({128: 1}, {128: 1}, 0)


def test_no_rows_are_zeros():
    (counted,) = compare_scores(["a"], [])
    assert counted.to_pylist()[0]["products"] == 0
    assert histogram(counted.to_pylist()[0]["before"]) == {}


@given(st.lists(st.tuples(scores, scores), max_size=60), st.integers(1, 9))
def test_batches_do_not_matter_and_half_pairs_do_not_count(pairs, size):
    parts = [pairs[at : at + size] for at in range(0, len(pairs), size)]
    batches = [batch(before_p=[old for old, _ in part], after_p=[new for _, new in part]) for part in parts]
    (counted,) = compare_scores(["p"], batches)
    found = counted.to_pylist()[0]
    whole = np.array([pair for pair in pairs if None not in pair], dtype=np.float32).reshape(-1, 2)
    assert found["change"] == pytest.approx(float((whole[:, 1].astype(float) - whole[:, 0]).sum()), abs=1e-9)
    x_D, y_D = (on_grid(whole[:, side]).astype(np.int64) for side in (0, 1))
    assert np.frombuffer(found["before"], "<i8").tolist() == np.bincount(x_D, minlength=256).tolist()
    assert np.frombuffer(found["after"], "<i8").tolist() == np.bincount(y_D, minlength=256).tolist()
    assert found["products"] == int(x_D @ y_D)
