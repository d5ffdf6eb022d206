"""Scores that are carried to another tokenizer say at every threshold what the spans of that threshold say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.udfs.deciding.pretrain_tokens import highest_scores
from tokensieve.udfs.deciding.rule import PolicyScores, Rule, decide
from tokensieve.udfs.scores.stored_scores import grid_threshold
from tokensieve.udfs.spans.carry import forgotten_tokens


def policy(scores: list[int], lengths: list[int], bounds: list[int]) -> PolicyScores:
    return PolicyScores(
        scores_T=np.array(scores, dtype=np.uint8),
        bytes_T=np.array(lengths, dtype=np.int64),
        bounds_D1=np.array(bounds, dtype=np.int64),
        document_score_D=np.zeros(len(bounds) - 1),
    )


def test_a_token_takes_the_highest_score_that_shares_a_byte_with_it():
    # bytes       0 1 2 | 3 4 | 5      of the classifier: 10, 200, 30
    # bytes       0 1 | 2 3 | 4 5      of the other tokenizer
    scores = policy([10, 200, 30], [3, 2, 1], [0, 3])
    assert highest_scores(np.array([2, 2, 2]), np.array([0, 3]), scores).tolist() == [10, 200, 200]
    assert highest_scores(np.array([6]), np.array([0, 1]), scores).tolist() == [200]
    assert highest_scores(np.ones(6, int), np.array([0, 6]), scores).tolist() == [10, 10, 10, 200, 200, 30]


def test_tokens_of_no_bytes_follow_their_carrier_and_those_of_the_classifier_count_for_nothing():
    scores = policy([10, 255, 30], [3, 0, 1], [0, 3])
    assert highest_scores(np.array([3, 0, 1, 0]), np.array([0, 4]), scores).tolist() == [10, 10, 30, 30]
    assert highest_scores(np.array([0]), np.array([0, 1]), policy([], [], [0, 0])).tolist() == [0]
    assert highest_scores(np.array([], int), np.array([0, 0]), policy([], [], [0, 0])).tolist() == []


def test_scores_never_cross_from_one_document_into_the_next():
    scores = policy([10, 200], [3, 3], [0, 1, 1, 2])
    assert highest_scores(np.array([2, 1, 3]), np.array([0, 2, 2, 3]), scores).tolist() == [10, 10, 200]


def test_scores_of_another_text_are_refused_with_the_document():
    with pytest.raises(ValueError, match="document 1 of the batch has 2 bytes, its scores are of 3"):
        highest_scores(np.array([3, 2]), np.array([0, 1, 2]), policy([1, 2], [3, 3], [0, 1, 2]))


@st.composite
def tilings(draw) -> tuple[PolicyScores, np.ndarray, np.ndarray]:
    """Documents of some bytes each, cut into tokens in two ways, tokens of no bytes among them."""
    cut = st.lists(st.integers(0, 4), max_size=8)
    ours, theirs, scores, bounds, their_bounds = [], [], [], [0], [0]
    for _ in range(draw(st.integers(1, 3))):
        one = draw(cut)
        other = draw(cut)
        size = max(sum(one), sum(other))
        one, other = ([*lengths, size - sum(lengths)] for lengths in (one, other))
        ours, theirs = ours + one, theirs + other
        scores += draw(st.lists(st.integers(0, 255), min_size=len(one), max_size=len(one)))
        bounds.append(len(ours))
        their_bounds.append(len(theirs))
    return policy(scores, ours, bounds), np.array(theirs), np.array(their_bounds)


@settings(max_examples=300, deadline=None)
@given(tilings(), st.floats(0.001, 0.9995))
def test_a_threshold_on_carried_scores_equals_the_projected_spans_of_that_threshold(tiling, threshold):
    scores, bytes_T, bounds_D1 = tiling
    spans = decide([(Rule(threshold=threshold), 0.5, scores)]).spans
    expected_T = forgotten_tokens(bytes_T, bounds_D1, spans)
    carried_T = highest_scores(bytes_T, bounds_D1, scores)
    assert (carried_T >= grid_threshold(threshold)).tolist() == expected_T.tolist()
