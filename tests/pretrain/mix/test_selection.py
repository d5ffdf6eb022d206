"""The choice of documents: enough tokens or an error, by hash and not by place, no document twice in a pass."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.pretrain.errors import CoarseSourceError, ExhaustedSourceError
from tokensieve.pretrain.mix.selection import choose, hash_order

LENGTHS = np.array([40, 30, 20, 10], np.int64)
ORDER = np.array([2, 0, 3, 1])


def chosen(target: int, slack: int = 0, repeats: bool = False) -> tuple[list[int], list[int], int]:
    found = choose(LENGTHS, ORDER, target, slack, repeats, "source s")
    return found.documents_K.tolist(), found.pass_K.tolist(), found.tokens


@pytest.mark.parametrize(
    ("target", "slack", "documents", "tokens"),
    [
        (60, 0, [2, 0], 60),  # 20 + 40 fit
        (62, 2, [2, 0], 60),  # a little under
        (69, 1, [2, 0, 3], 70),  # a little over: the next document is taken after all
        (90, 0, [2, 0, 1], 90),  # 70 or 100 in order, so the last two give way to one that fits
        (100, 0, [2, 0, 3, 1], 100),
        (101, 1, [2, 0, 3, 1], 100),
    ],
)
def test_documents_are_taken_in_order_and_the_last_is_chosen_to_fit(target, slack, documents, tokens):
    assert chosen(target, slack) == (documents, [0] * len(documents), tokens)


def test_repeats_give_whole_passes_and_a_part_of_one():
    assert chosen(260, repeats=True) == ([*ORDER, *ORDER, 2, 0], [0] * 4 + [1] * 4 + [2] * 2, 260)


def test_an_exhausted_source_says_how_many_tokens_are_missing_and_what_to_do():
    with pytest.raises(ExhaustedSourceError, match=r"source s: 130 tokens are needed and it holds 100; 30 are missing"):
        chosen(130)
    with pytest.raises(ExhaustedSourceError, match="set repeats: allow"):
        chosen(130)


def test_a_source_of_long_documents_is_refused_with_the_numbers():
    message = r"source s: whole documents give 0 or 20 tokens, asked for are 5 \+- 1, and no other last document"
    with pytest.raises(CoarseSourceError, match=message):
        chosen(5, slack=1)


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=60),
    target=st.integers(1, 3000),
    slack=st.integers(0, 20),
    repeats=st.booleans(),
    seed=st.integers(0, 9),
)
def test_the_choice_is_within_slack_or_refused_and_never_takes_a_document_twice_in_a_pass(
    lengths, target, slack, repeats, seed
):
    lengths_D = np.array(lengths, np.int64)
    hash_D = np.arange(len(lengths), dtype=np.uint64)
    order_D = hash_order(hash_D, np.zeros(len(lengths)), seed)
    try:
        found = choose(lengths_D, order_D, target, slack, repeats, "s")
    except ExhaustedSourceError:
        assert not repeats
        assert target > lengths_D.sum() + slack
        return
    except CoarseSourceError:
        rest = target % int(lengths_D.sum()) if repeats else target
        assert slack < rest, "taking nothing, or all, would have done"
        return
    assert abs(found.tokens - target) <= slack
    assert found.tokens == lengths_D[found.documents_K].sum()
    pairs = set(zip(found.documents_K.tolist(), found.pass_K.tolist()))
    assert len(pairs) == len(found.documents_K)
    complete = found.documents_K[found.pass_K < found.pass_K.max(initial=0)]
    assert sorted(complete.tolist()) == sorted(list(range(len(lengths))) * int(found.pass_K.max(initial=0)))


@given(count=st.integers(1, 40), seed=st.integers(0, 5), places=st.randoms(use_true_random=False))
def test_the_order_follows_the_documents_and_not_their_places(count, seed, places):
    hash_D = np.arange(count, dtype=np.uint64) // 2  # ids that come twice
    row_D = np.arange(count)
    moved = np.array(places.sample(range(count), count))
    here = row_D[hash_order(hash_D, row_D, seed)]
    there = row_D[moved][hash_order(hash_D[moved], row_D[moved], seed)]
    assert here.tolist() == there.tolist()


def test_another_seed_is_another_order():
    hash_D = np.arange(100, dtype=np.uint64)
    first, second = (hash_order(hash_D, hash_D, seed) for seed in (0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(100))
    assert first.tolist() != second.tolist()


def test_a_larger_target_takes_the_same_documents_and_more():
    rng = np.random.default_rng(0)
    lengths_D = rng.integers(1, 20, 500)
    order_D = hash_order(np.arange(500, dtype=np.uint64), np.zeros(500), 3)
    small, large = (choose(lengths_D, order_D, target, 20, False, "s").documents_K for target in (1000, 2000))
    assert large[: len(small)].tolist() == small.tolist()
