"""Packs as inputs of a graph: every token once, in its window, and little padding."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from udfs.scoring.backends.onnx_layout import CALL_TOKENS, PADDING, RowLayout, RowsLayout, groups


def bounds(lengths) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def test_a_row_is_filled_by_a_window_of_its_own():
    (call,) = RowLayout(multiple=4).calls(np.array([5, 6, 7, 8, 9]), bounds([3, 2]))
    assert call.ids.tolist() == [5, 6, 7, 8, 9, 0, 0, 0]
    assert call.places.tolist() == [0, 0, 0, 3, 3, 5, 5, 5]
    assert call.own_N.tolist() == [0, 1, 2, 3, 4]
    assert call.computed == 8
    assert list(RowLayout(multiple=4).calls(np.array([], np.int64), bounds([]))) == []


def test_a_window_stands_between_its_outer_ids_and_padding_is_after_them():
    layout = RowsLayout(before=(1,), after=(2, 3), padding=9)
    (call,) = layout.calls(np.arange(100, 165), bounds([33, 32]))
    assert call.ids.shape == (2, 36)
    assert call.ids[0].tolist() == [1, *range(100, 133), 2, 3]
    assert call.ids[1].tolist() == [1, *range(133, 165), 2, 3, 9]
    assert call.places.tolist() == [36, 35]
    assert call.ids.flatten()[call.own_N].tolist() == list(range(100, 165))
    assert call.computed == 72


def test_windows_of_unlike_length_and_those_of_a_large_pack_are_apart():
    assert list(groups(np.array([100, 99, 98, 50, 50, 49, 3]))) == [(0, 3), (3, 6), (6, 7)]
    assert list(groups(np.array([1024] * 9))) == [(0, 4), (4, 8), (8, 9)]
    assert list(groups(np.array([9000, 9000]))) == [(0, 1), (1, 2)]
    assert list(groups(np.array([], dtype=np.int64))) == []


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.booleans())
def test_every_token_is_in_one_call_and_padding_stays_within_its_share(lengths, is_sorted):
    lengths_N = np.array(sorted(lengths, reverse=True) if is_sorted else lengths)
    ids_P, calls = np.arange(1000, 1000 + lengths_N.sum()), []
    for call in RowsLayout().calls(ids_P, bounds(lengths_N)):
        calls.append(call.ids.flatten()[call.own_N])
        assert call.places.sum() == len(call.own_N)
        assert call.computed <= (1 + PADDING) * call.places.sum()
        assert call.computed <= CALL_TOKENS or len(call.places) == 1
    assert np.concatenate(calls).tolist() == ids_P.tolist()
