"""Agreement by hand-counted tables: both, one, none, and what is not known to both does not count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.udfs.labels.agreement import Agreement, compare_bytes, compare_tokens
from tokensieve.udfs.labels.labels import DocumentLabels, LabelError
from tokensieve.udfs.tokenizing.tokenizer import Tokenized


def made(spans=(), values=None, holes=(), note=None) -> DocumentLabels:
    return DocumentLabels(
        spans_N2=np.array(spans, dtype=np.int64).reshape(-1, 2),
        value_N=None if values is None else np.array(values, dtype=np.float32),
        unknown_M2=np.array(holes, dtype=np.int64).reshape(-1, 2),
        note=note,
    )


def test_kappa_f1_and_shares_of_a_table_counted_by_hand():
    # Cohen's own kind of table: 50 units, both yes 20, A alone 5, B alone 10, none 15. Observed agreement 35/50;
    # by chance 25/50 * 30/50 + 25/50 * 20/50 = 0.5; kappa = (0.7 - 0.5) / (1 - 0.5).
    table = Agreement(both=20, only_a=5, only_b=10, neither=15, unknown=7)
    assert table.figures() == {
        "both": 20, "only_a": 5, "only_b": 10, "neither": 15, "unknown": 7,
        "precision": 0.8, "recall": 0.666667, "f1": 0.727273, "kappa": 0.4, "share_a": 0.5, "share_b": 0.6,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "kappa", "f1"),
    [
        (Agreement(both=3, only_a=0, only_b=0, neither=7), 1.0, 1.0),
        (Agreement(both=0, only_a=5, only_b=5, neither=0), -1.0, 0.0),
        (Agreement(both=1, only_a=9, only_b=9, neither=81), 0.0, 0.1),
        (Agreement(both=0, only_a=0, only_b=0, neither=9), None, None),
        (Agreement(both=9, only_a=0, only_b=0, neither=0), None, 1.0),
        (Agreement(both=0, only_a=0, only_b=0, neither=0, unknown=4), None, None),
    ],
)
def test_kappa_at_the_edges(table, kappa, f1):
    assert table.figures()["kappa"] == kappa
    assert table.figures()["f1"] == f1


def test_bytes_are_counted_between_the_borders_of_both():
    a = [made([(0, 4), (8, 10)]), made()]
    b = [made([(2, 6)]), made([(0, 3)])]
    #                   both: 2-4, A: 0-2 and 8-10, B: 4-6, neither: 6-8 and 10-12
    assert compare_bytes(a, b, [12, 5]).tolist() == [[2, 4, 2, 4, 0], [0, 0, 3, 2, 0]]


def test_what_one_of_them_does_not_know_counts_nowhere():
    a = [made([(0, 2)], holes=[(0, 6)]), made(holes=[(0, 2)], note="refused: x"), made()]
    b = [made([(1, 3)]), made([(0, 2)]), made()]
    assert compare_bytes(a, b, [8, 2, 0]).tolist() == [[1, 1, 0, 2, 4], [0, 0, 0, 0, 2], [0, 0, 0, 0, 0]]


def test_a_soft_value_of_one_half_is_forget_and_less_is_not():
    a, b = [made([(0, 2), (2, 4)], [0.5, 0.49])], [made([(0, 4)])]
    assert compare_bytes(a, b, [4]).tolist() == [[2, 0, 2, 0, 0]]


def test_tokens_are_counted_by_any_overlap():
    bytes_T = np.array([3, 3, 2, 4], dtype=np.int32)
    tokens = Tokenized(ids_T=np.zeros(4, np.int32), bytes_T=bytes_T, bounds_D1=np.array([0, 3, 4]), failed={})
    a, b = [made([(2, 4)]), made()], [made([(5, 6)], holes=[(0, 1)]), made([(3, 4)])]
    assert compare_tokens(a, b, tokens).tolist() == [[1, 0, 0, 1, 1], [0, 0, 1, 0, 0]]


def test_a_span_outside_its_text_is_refused():
    with pytest.raises(LabelError, match=r"document 1 of the batch: span \[2, 9\] lies outside the text of 4"):
        compare_bytes([made(), made([(2, 9)])], [made(), made()], [3, 4])


@st.composite
def labels(draw, size: int) -> DocumentLabels:
    cuts = sorted(draw(st.sets(st.integers(0, size), max_size=6)))
    holes = sorted(draw(st.sets(st.integers(0, size), max_size=4)))
    pairs = list(zip(cuts[::2], cuts[1::2]))
    return made(pairs, [draw(st.sampled_from([0.0, 0.4, 0.5, 1.0])) for _ in pairs], list(zip(holes[::2], holes[1::2])))


@given(st.data(), st.lists(st.integers(0, 20), min_size=1, max_size=4))
def test_counts_of_bytes_equal_looking_at_every_byte(data, sizes):
    a, b = ([data.draw(labels(size)) for size in sizes] for _ in range(2))
    expected = []
    for one, other, size in zip(a, b, sizes):
        counts = [0] * 5
        for at in range(size):
            states = []
            for side in (one, other):
                values = [v for (s, e), v in zip(side.spans_N2.tolist(), side.values_N.tolist()) if s <= at < e]
                hole = any(s <= at < e for s, e in side.unknown_M2.tolist())
                states.append(None if hole and not values else bool(values and values[0] >= 0.5))
            counts[4 if None in states else {(1, 1): 0, (1, 0): 1, (0, 1): 2, (0, 0): 3}[tuple(states)]] += 1
        expected.append(counts)
    assert compare_bytes(a, b, sizes).tolist() == expected
