"""Every token is read once an epoch, no piece crosses a document, and each source gets its share of the tokens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.pretrain.encoder.schedule import Pieces, Schedule, cut, epoch_order


def _pieces(lengths: list[int], context: int = 8, seed: int = 0) -> Pieces:
    hash_D = np.random.default_rng(seed).integers(0, 2**64, len(lengths), dtype=np.uint64)
    return cut(np.array(lengths, np.int64), hash_D, np.ones(len(lengths), bool), context)


def _read(schedule: Schedule) -> list[tuple[int, int]]:
    steps = [schedule.step(step) for step in range(schedule.steps)]
    return [(int(s), int(p)) for source_N, piece_N in steps for s, p in zip(source_N, piece_N, strict=True)]


def test_a_document_longer_than_the_context_is_cut_into_equal_pieces():
    pieces = _pieces([3, 17, 8])
    assert pieces.doc_P.tolist() == [0, 1, 1, 1, 2]
    assert pieces.start_P.tolist() == [0, 0, 5, 11, 0]
    assert pieces.length_P.tolist() == [3, 5, 6, 6, 8]


def test_documents_that_are_not_chosen_have_no_piece():
    pieces = cut(np.array([3, 4]), np.array([1, 2], np.uint64), np.array([False, True]), 8)
    assert pieces.doc_P.tolist() == [1]


@given(st.lists(st.integers(1, 70), min_size=1, max_size=20), st.integers(2, 16))
def test_pieces_tile_every_document_and_stay_inside_it(lengths: list[int], context: int):
    pieces = _pieces(lengths, context)
    for doc, length in enumerate(lengths):
        of = pieces.doc_P == doc
        ends = (pieces.start_P + pieces.length_P)[of]
        assert pieces.start_P[of].tolist() == [0, *ends.tolist()[:-1]]
        assert ends[-1] == length
    assert pieces.length_P.min() >= 1
    assert pieces.length_P.max() <= context


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 3), st.integers(0, 9))
def test_every_piece_is_read_exactly_once_an_epoch(lengths: list[int], epochs: int, seed: int):
    pieces = _pieces(lengths)
    total = int(pieces.length_P.sum())
    schedule = Schedule([pieces], [1.0], step_tokens=total, steps=epochs, seed=seed)
    read = [piece for _, piece in _read(schedule)]
    assert schedule.epochs == [epochs]
    for epoch in range(epochs):
        assert sorted(read[epoch * len(pieces) : (epoch + 1) * len(pieces)]) == list(range(len(pieces)))


def test_epochs_and_seeds_have_orders_of_their_own():
    pieces = _pieces([5] * 50)
    orders = [epoch_order(pieces, seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert orders[0] == epoch_order(pieces, 0, 0).tolist()
    assert len({tuple(order) for order in orders}) == 3


def test_the_order_follows_content_and_not_the_rows_of_the_files():
    lengths_D, hash_D = np.arange(1, 31), np.random.default_rng(1).integers(0, 2**64, 30, dtype=np.uint64)
    turned_D = np.random.default_rng(2).permutation(30)
    one, other = (cut(lengths_D[at], hash_D[at], np.ones(30, bool), 8) for at in (np.arange(30), turned_D))
    keys = [pieces.key_P[epoch_order(pieces, 3, 0)].tolist() for pieces in (one, other)]
    assert keys[0] == keys[1]


def test_copies_of_a_document_are_spread_over_the_epoch():
    pieces = cut(np.full(200, 4), np.repeat(np.array([7, 8], np.uint64), 100), np.ones(200, bool), 8)
    assert len(np.unique(pieces.key_P)) == 200
    first_half = epoch_order(pieces, 0, 0)[:100]
    assert 30 < (first_half < 100).sum() < 70


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 40), min_size=1, max_size=15), st.integers(1, 9)), min_size=2, max_size=4
    ),
    st.integers(20, 200),
    st.integers(1, 12),
)
def test_at_every_moment_each_source_has_its_share_of_the_tokens(
    made: list[tuple[list[int], int]], step_tokens: int, steps: int
):
    context = 20
    sources = [_pieces(lengths, context, seed) for seed, (lengths, _) in enumerate(made)]
    shares = [weight / sum(weight for _, weight in made) for _, weight in made]
    schedule = Schedule(sources, shares, step_tokens=step_tokens, steps=steps, seed=5)
    tokens_K = np.zeros(len(made))
    for source, piece in _read(schedule):
        tokens_K[source] += sources[source].length_P[piece]
        assert (np.abs(tokens_K - np.array(shares) * tokens_K.sum()) <= context * len(made)).all()


def test_half_of_the_tokens_come_from_a_source_with_a_hundredth_of_the_documents():
    small, large = _pieces([7] * 10, seed=1), _pieces([90] * 1000, context=64, seed=2)
    schedule = Schedule([small, large], [0.5, 0.5], step_tokens=500, steps=40, seed=0)
    tokens_K = np.zeros(2, np.int64)
    for source, piece in _read(schedule):
        tokens_K[source] += (small, large)[source].length_P[piece]
    assert tokens_K.sum() == pytest.approx(20_000, abs=64)
    assert tokens_K[0] == pytest.approx(10_000, abs=64)
    assert schedule.epochs[0] == pytest.approx(10_000 / 70)


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(8, 50), st.integers(1, 9))
def test_steps_are_as_large_as_asked_to_within_a_piece(lengths: list[int], step_tokens: int, steps: int):
    pieces = _pieces(lengths)
    schedule = Schedule([pieces], [1.0], step_tokens=step_tokens, steps=steps, seed=0)
    sizes = [int(pieces.length_P[schedule.step(step)[1]].sum()) for step in range(steps)]
    assert all(abs(size - step_tokens) < 8 for size in sizes)
    assert abs(sum(sizes) - steps * step_tokens) < 8


def test_a_step_outside_the_run_is_refused():
    schedule = Schedule([_pieces([5])], [1.0], step_tokens=8, steps=2, seed=0)
    with pytest.raises(IndexError, match="step 2 of 2"):
        schedule.step(2)
