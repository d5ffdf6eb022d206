import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.udfs.spans.carry import carriers, forgotten_tokens
from tokensieve.udfs.spans.intervals import Spans


def forgotten(bytes_T, spans):
    return forgotten_tokens(bytes_T, np.array([0, len(bytes_T)]), spans)


def test_a_token_that_touches_a_span_by_one_byte_is_forgotten():
    spans = Spans(start_N=np.array([4]), end_N=np.array([7]))
    #        bytes:      0-2  3-4  5-5  6-8  9-9
    assert forgotten(np.array([3, 2, 1, 3, 1]), spans).tolist() == [False, True, True, True, False]


def test_spans_end_exclusive_leave_the_next_token_alone():
    spans = Spans(start_N=np.array([0]), end_N=np.array([3]))
    assert forgotten(np.array([3, 2]), spans).tolist() == [True, False]


def test_a_token_without_bytes_shares_the_fate_of_the_token_before_it():
    spans = Spans(start_N=np.array([1]), end_N=np.array([5]))
    assert forgotten(np.array([1, 4, 0, 0, 2, 0]), spans).tolist() == [False, True, True, True, False, False]


def test_a_token_without_bytes_never_takes_its_fate_from_another_document():
    bytes_T, bounds_D1 = np.array([2, 0, 0, 3, 0, 0]), np.array([0, 2, 5, 5, 6])
    assert carriers(bytes_T, bounds_D1).tolist() == [0, 0, 3, 3, 3, 5]
    spans = Spans(start_N=np.array([0]), end_N=np.array([2]))
    assert forgotten_tokens(bytes_T, bounds_D1, spans).tolist() == [True, True, False, False, False, False]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.data())
def test_projection_equals_marking_bytes_one_by_one(lengths, data):
    total = sum(lengths)
    marked = np.array(data.draw(st.lists(st.booleans(), min_size=total, max_size=total)))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]])))
    spans = Spans(start_N=edges[::2], end_N=edges[1::2])
    ends = np.cumsum(lengths)
    expected = [bool(marked[end - length : end].any()) for end, length in zip(ends, lengths)]
    assert forgotten(np.array(lengths), spans).tolist() == expected
