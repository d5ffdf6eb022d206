import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.udfs.spans.intervals import Spans, bridge, dilate, overlay, runs

BOUNDS = np.array([0, 5, 5, 12])  # three documents: five tokens, none, seven tokens


def flags(text: str) -> np.ndarray:
    return np.array([mark == "x" for mark in text])


def pairs(spans: Spans) -> list[tuple[int, int]]:
    return list(zip(spans.start_N.tolist(), spans.end_N.tolist()))


def drawn(spans: Spans, length: int) -> str:
    """The spans as a picture, one mark a position."""
    marks = ["."] * length
    for start, end in pairs(spans):
        marks[start:end] = "x" * (end - start)
    return "".join(marks)


def test_runs_end_where_a_document_ends():
    assert pairs(runs(flags("..xxx" + "xx...x."), BOUNDS)) == [(2, 5), (5, 7), (10, 11)]


def test_runs_of_an_empty_batch_are_none():
    assert pairs(runs(np.zeros(0, bool), np.array([0, 0]))) == []


def test_bridging_fills_gaps_up_to_its_length_but_not_across_documents():
    spans = runs(flags("x..x." + "x..x..x"), BOUNDS)
    assert pairs(bridge(spans, 1, BOUNDS)) == pairs(spans)
    assert pairs(bridge(spans, 2, BOUNDS)) == [(0, 4), (5, 12)]


def test_dilation_stays_in_its_document_and_joins_what_then_touches():
    spans = runs(flags("....x" + "x...x.."), BOUNDS)
    assert pairs(dilate(spans, 1, BOUNDS)) == [(3, 5), (5, 7), (8, 11)]
    assert pairs(dilate(spans, 2, BOUNDS)) == [(2, 5), (5, 12)]


def test_the_stronger_layer_wins_where_two_overlap():
    strong = Spans(start_N=np.array([3]), end_N=np.array([6]))
    weak = Spans(start_N=np.array([1, 8]), end_N=np.array([9, 10]))
    spans, layer = overlay([strong, weak], np.array([0, 12]))
    assert pairs(spans) == [(1, 3), (3, 6), (6, 10)]
    assert layer.tolist() == [1, 0, 1]


def test_spans_that_touch_at_a_document_border_stay_apart():
    spans, layer = overlay([Spans(start_N=np.array([3, 5]), end_N=np.array([5, 7]))], BOUNDS)
    assert pairs(spans) == [(3, 5), (5, 7)]
    assert layer.tolist() == [0, 0]


marks = st.lists(st.booleans(), min_size=12, max_size=12)


@given(marks, marks, marks)
def test_an_overlay_gives_every_position_to_the_strongest_layer_that_covers_it(first, second, third):
    layers = [runs(np.array(marks), BOUNDS) for marks in (first, second, third)]
    spans, layer = overlay(layers, BOUNDS)
    owner = [next((at for at in range(3) if (first, second, third)[at][p]), None) for p in range(12)]
    found: list[int | None] = [None] * 12
    for (start, end), at in zip(pairs(spans), layer.tolist()):
        assert found[start:end] == [None] * (end - start), "spans are disjoint"
        found[start:end] = [at] * (end - start)
    assert found == owner
    assert pairs(spans) == sorted(pairs(spans))


@given(marks, st.integers(0, 12), st.integers(0, 12))
def test_bridging_and_dilating_equal_the_same_done_token_by_token(marked, gap, by):
    start = runs(np.array(marked), BOUNDS)
    for low, high in ((0, 5), (5, 12)):
        document = marked[low:high]
        wide = [any(document[max(0, i - by) : i + by + 1]) for i in range(len(document))]
        assert drawn(dilate(start, by, BOUNDS), 12)[low:high] == "".join(".x"[w] for w in wide)
        on = [i for i, mark in enumerate(document) if mark]
        filled = list(document)
        for left, right in zip(on, on[1:]):
            if right - left - 1 <= gap:
                filled[left:right] = [True] * (right - left)
        assert drawn(bridge(start, gap, BOUNDS), 12)[low:high] == "".join(".x"[f] for f in filled)
