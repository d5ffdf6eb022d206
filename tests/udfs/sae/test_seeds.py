"""Runs in array code label what the fixed-point loop over tokens labels, and whole documents and characters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.udfs.sae.activations import Activations
from tokensieve.udfs.sae.seeds import SeedRule, byte_spans, labelled_tokens, propagate
from tokensieve.udfs.tokenizing.tokenizer import Tokenized


def fixed_point(seed_T: np.ndarray, active_T: np.ndarray, special_T: np.ndarray, bounds_D1: np.ndarray) -> np.ndarray:
    """The rule as it is written: token by token, again until nothing changes."""
    labelled_T = seed_T & ~special_T
    document_T = np.repeat(np.arange(len(bounds_D1) - 1), np.diff(bounds_D1))
    changed = True
    while changed:
        changed = False
        for at in range(len(seed_T)):
            beside = [n for n in (at - 1, at + 1) if 0 <= n < len(seed_T) and document_T[n] == document_T[at]]
            touches = any(labelled_T[n] for n in beside)
            if active_T[at] and touches and not special_T[at] and not labelled_T[at]:
                labelled_T[at] = changed = True
    return labelled_T


def activations(firings: list[tuple[int, int, float]], bytes_T: list[int], bounds: list[int]) -> Activations:
    position_N, column_N, value_N = (np.array(list(part)) for part in zip(*firings, strict=True))
    tokens = Tokenized(
        ids_T=np.arange(len(bytes_T), dtype=np.int32),
        bytes_T=np.array(bytes_T, np.int32),
        bounds_D1=np.array(bounds, np.int64),
        failed={},
    )
    return Activations(
        tokens=tokens,
        position_N=position_N,
        column_N=column_N,
        value_N=value_N.astype(np.float32),
        special_T=np.zeros(len(bytes_T), bool),
        failed={},
    )


# Six tokens: two latents above 5 at token 2, one at token 4, weak firings at 1 and 3, nothing at 0 and 5.
SIX = [(1, 0, 1.0), (2, 0, 6.0), (2, 1, 9.0), (3, 2, 0.5), (4, 1, 8.0)]


def rule(votes: float = 2, weights: tuple[float, ...] = (1, 1, 1), propagate: bool = True) -> SeedRule:
    return SeedRule(threshold_K=np.array([5.0, 5, 5]), weight_K=np.array(weights), votes=votes, propagate=propagate)


def test_two_latents_above_the_threshold_seed_a_token_and_active_neighbours_join():
    found = activations(SIX, [1] * 6, [0, 6])
    assert labelled_tokens(found, rule(propagate=False)).tolist() == [False, False, True, False, False, False]
    assert labelled_tokens(found, rule()).tolist() == [False, True, True, True, True, False]


def test_document_border_and_special_token_stop_a_run():
    assert labelled_tokens(activations(SIX, [1] * 6, [0, 3, 6]), rule()).tolist() == [False, True, True] + [False] * 3
    special_T = np.array([False, False, False, True, False, False])
    seed_T, active_T = np.array([0, 0, 1, 1, 0, 0], bool), np.array([0, 1, 1, 1, 1, 0], bool)
    assert propagate(seed_T, active_T, special_T, np.array([0, 6])).tolist() == [False, True, True] + [False] * 3


def test_activation_at_the_threshold_does_not_vote():
    found = activations([(0, 0, 5.0), (0, 1, 9.0), (1, 0, 5.1), (1, 1, 9.0)], [1, 1], [0, 2])
    assert labelled_tokens(found, rule(propagate=False)).tolist() == [False, True]


def test_votes_weigh_as_much_as_their_latents():
    found = activations(SIX, [1] * 6, [0, 6])
    weighted = rule(votes=0.9, weights=(0.2, 0.95, 0), propagate=False)
    assert labelled_tokens(found, weighted).tolist() == [False, False, True, False, True, False]
    with pytest.raises(ValueError, match="must need votes above 0, not 0"):
        rule(votes=0)


@settings(deadline=None, max_examples=300)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    seeds=st.floats(0, 0.3),
    active=st.floats(0, 1),
    special=st.floats(0, 0.2),
    draw=st.integers(0, 2**32 - 1),
)
def test_runs_label_what_the_loop_to_a_fixed_point_labels(lengths, seeds, active, special, draw):
    random = np.random.default_rng(draw)
    bounds_D1 = np.concatenate([[0], np.cumsum(lengths)])
    seed_T, active_T, special_T = (random.random(bounds_D1[-1]) < share for share in (seeds, active, special))
    expected = fixed_point(seed_T, active_T, special_T, bounds_D1)
    assert propagate(seed_T, active_T, special_T, bounds_D1).tolist() == expected.tolist()


def test_a_hundred_thousand_tokens_agree_with_the_loop():
    random = np.random.default_rng(7)
    for _ in range(100):
        bounds_D1 = np.concatenate([[0], np.cumsum(random.integers(0, 400, size=5))])
        seed_T, active_T, special_T = (random.random(bounds_D1[-1]) < share for share in (0.05, 0.4, 0.02))
        expected = fixed_point(seed_T, active_T, special_T, bounds_D1)
        assert (propagate(seed_T, active_T, special_T, bounds_D1) == expected).all()


def test_labelled_tokens_become_bytes_of_their_own_document():
    labelled_T = np.array([True, True, False, True, False, True])
    spans, owner_N = byte_spans(labelled_T, np.array([2, 3, 1, 4, 5, 6]), np.array([0, 2, 2, 6]))
    assert (spans.start_N.tolist(), spans.end_N.tolist()) == ([0, 1, 10], [5, 5, 16])
    assert owner_N.tolist() == [0, 2, 2]


def test_token_without_bytes_labels_the_character_that_it_is_a_part_of():
    # One character of 4 bytes in three tokens, the first of which holds its bytes; only the last one is labelled.
    spans, owner_N = byte_spans(np.array([0, 0, 0, 1, 0], bool), np.array([3, 4, 0, 0, 2]), np.array([0, 5]))
    assert (spans.start_N.tolist(), spans.end_N.tolist(), owner_N.tolist()) == ([3], [7], [0])
    # Labelled tokens on both sides of one without bytes touch: one span.
    spans, _ = byte_spans(np.array([1, 0, 1], bool), np.array([3, 0, 2]), np.array([0, 3]))
    assert (spans.start_N.tolist(), spans.end_N.tolist()) == ([0], [5])


def test_no_tokens_give_no_spans():
    empty = np.zeros(0, bool)
    assert propagate(empty, empty, empty, np.array([0, 0])).tolist() == []
    spans, owner_N = byte_spans(empty, np.zeros(0, np.int32), np.array([0, 0, 0]))
    assert (len(spans), len(owner_N)) == (0, 0)
