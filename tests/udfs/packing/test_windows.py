"""Windows and packs lose no token and keep none twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.udfs.packing.windows import gather, kept, packs, runs, scatter, windows


def test_short_document_is_one_window_and_an_empty_one_is_none():
    cut = windows(np.array([3, 0, 8]), window=8, margin=2)
    assert cut.doc_W.tolist() == [0, 2]
    assert cut.start_W.tolist() == [0, 0]
    assert cut.stop_W.tolist() == [3, 8]
    assert cut.keep_start_W.tolist() == [0, 0]
    assert cut.keep_stop_W.tolist() == [3, 8]


def test_the_last_window_is_as_short_as_what_is_left():
    cut = windows(np.array([13]), window=8, margin=2)
    assert list(zip(cut.start_W.tolist(), cut.stop_W.tolist(), strict=True)) == [(0, 8), (4, 12), (8, 13)]
    assert list(zip(cut.keep_start_W.tolist(), cut.keep_stop_W.tolist(), strict=True)) == [(0, 6), (6, 10), (10, 13)]


@pytest.mark.parametrize(("window", "margin"), [(1024, 128), (64, 0), (65, 32), (7, 3)])
def test_every_token_of_every_length_up_to_5000_is_kept_once_away_from_inner_edges(window, margin):
    lengths_D = np.arange(1, 5001)
    cut = windows(lengths_D, window, margin)
    first_W = np.diff(cut.doc_W, prepend=-1) > 0
    last_W = np.append(first_W[1:], True)
    # Kept parts follow each other without a gap from 0 to the length, so each token is kept exactly once.
    assert (cut.keep_start_W[first_W] == 0).all()
    assert (cut.keep_stop_W[last_W] == lengths_D).all()
    assert (cut.keep_start_W[1:][~first_W[1:]] == cut.keep_stop_W[:-1][~last_W[:-1]]).all()
    assert (cut.keep_start_W < cut.keep_stop_W).all()
    assert (cut.keep_start_W - cut.start_W >= np.where(first_W, 0, margin)).all()
    assert (cut.stop_W - cut.keep_stop_W >= np.where(last_W, 0, margin)).all()
    assert (cut.lengths_W[~last_W] == window).all()
    assert (cut.lengths_W[last_W] <= window).all()
    assert (cut.lengths_W[~first_W] > 2 * margin).all()


def test_margin_of_half_a_window_is_refused():
    with pytest.raises(ValueError, match="window 8 must be more than twice the margin 4"):
        windows(np.array([20]), window=8, margin=4)


def test_packs_are_longest_first_within_the_budget_and_one_long_window_stands_alone():
    assert [pack.tolist() for pack in packs(np.array([2, 9, 3, 2, 3]), token_budget=6)] == [[1], [2, 4], [0, 3]]
    assert packs(np.array([], dtype=np.int64), token_budget=6) == []
    with pytest.raises(ValueError, match="at least 1"):
        packs(np.array([1]), token_budget=0)


@given(lengths=st.lists(st.integers(1, 50), max_size=40), budget=st.integers(1, 80))
def test_packs_hold_every_window_once_and_keep_the_budget(lengths, budget):
    made = packs(np.array(lengths, dtype=np.int64), budget)
    assert sorted(np.concatenate([[], *made]).tolist()) == list(range(len(lengths)))
    for pack in made:
        assert len(pack) == 1 or np.array(lengths)[pack].sum() <= budget


def test_gather_reads_windows_end_to_end_and_scatter_puts_kept_values_back():
    bounds_D1 = np.array([0, 2, 12])
    cut = windows(np.diff(bounds_D1), window=6, margin=1)
    ids_P, bounds_N1 = gather(np.arange(100, 112), bounds_D1, cut, np.array([2, 0]))
    assert ids_P.tolist() == [106, 107, 108, 109, 110, 111, 100, 101]
    assert bounds_N1.tolist() == [0, 6, 8]
    out_T = np.full(12, -1)
    pack = np.array([2, 0])
    scatter(ids_P[kept(cut, pack)[0]], bounds_D1, cut, pack, out_T)
    assert out_T.tolist() == [100, 101, -1, -1, -1, -1, -1, 107, 108, 109, 110, 111]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), max_size=8),
    margin=st.integers(0, 4),
    extra=st.integers(1, 12),
    budget=st.integers(1, 50),
)
def test_gather_then_scatter_over_all_packs_is_the_identity(lengths, margin, extra, budget):
    bounds_D1 = np.concatenate([[0], np.cumsum(np.array(lengths, dtype=np.int64))]).astype(np.int64)
    ids_T = np.arange(bounds_D1[-1]) * 7
    cut = windows(np.diff(bounds_D1), 2 * margin + extra, margin)
    out_TK = np.full((len(ids_T), 2), -1)
    for pack in packs(cut.lengths_W, budget):
        ids_P, _ = gather(ids_T, bounds_D1, cut, pack)
        scatter(np.stack([ids_P, ids_P + 1], axis=1)[kept(cut, pack)[0]], bounds_D1, cut, pack, out_TK)
    assert out_TK[:, 0].tolist() == ids_T.tolist()
    assert out_TK[:, 1].tolist() == (ids_T + 1).tolist()


def test_runs_lays_ranges_end_to_end():
    assert runs(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert runs(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).tolist() == []
