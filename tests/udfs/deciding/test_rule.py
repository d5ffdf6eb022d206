import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tokensieve.udfs.deciding.rule import ACTIONS, PolicyScores, Rule, decide, token_spans
from tokensieve.udfs.scores.stored_scores import quantize_logits


def stored(*documents: list[float], bytes_per_token: int = 2, document_scores: list[float] | None = None):
    """Scores of documents given as probabilities."""
    flat = np.array([p for document in documents for p in document])
    return PolicyScores(
        scores_T=quantize_logits(np.log(flat / (1 - flat))),
        bytes_T=np.full(len(flat), bytes_per_token),
        bounds_D1=np.concatenate([[0], np.cumsum([len(document) for document in documents])]),
        document_score_D=np.array(document_scores or [0.0] * len(documents)),
    )


def spans_of(rule: Rule, scores: PolicyScores, default: float = 0.5) -> list[tuple[int, int]]:
    found = token_spans(scores.scores_T, scores.bounds_D1, rule, default)
    return list(zip(found.start_N.tolist(), found.end_N.tolist()))


def test_without_a_threshold_of_its_own_a_rule_takes_the_bundles():
    scores = stored([0.3, 0.6, 0.9])
    assert spans_of(Rule(), scores, default=0.5) == [(1, 3)]
    assert spans_of(Rule(), scores, default=0.8) == [(2, 3)]
    assert spans_of(Rule(threshold=0.2), scores, default=0.8) == [(0, 3)]


def test_hysteresis_carries_a_span_over_weaker_neighbours_but_starts_none_there():
    scores = stored([0.4, 0.4, 0.9, 0.4, 0.1, 0.4, 0.4])
    assert spans_of(Rule(threshold=0.8, low_threshold=0.3), scores) == [(0, 4)]


def test_hysteresis_does_not_leak_into_the_next_document():
    scores = stored([0.1, 0.9], [0.4, 0.1])
    assert spans_of(Rule(threshold=0.8, low_threshold=0.3), scores) == [(1, 2)]


def test_short_runs_go_before_gaps_are_bridged_and_spans_widened():
    scores = stored([0.9, 0.1, 0.9, 0.9, 0.1, 0.9, 0.9, 0.1, 0.1, 0.1])
    assert spans_of(Rule(threshold=0.5, min_tokens=2), scores) == [(2, 4), (5, 7)]
    assert spans_of(Rule(threshold=0.5, min_tokens=2, bridge_tokens=1), scores) == [(2, 7)]
    assert spans_of(Rule(threshold=0.5, min_tokens=2, bridge_tokens=1, dilate_tokens=1), scores) == [(1, 8)]


def test_a_decision_counts_bytes_and_names_the_document_action():
    rule = Rule(threshold=0.5, action="mask")
    decision = decide([(rule, 0.5, stored([0.1, 0.9, 0.9], [0.1, 0.1], []))])
    assert [ACTIONS[action] for action in decision.action_D] == ["mask", "keep", "keep"]
    assert decision.forget_bytes_D.tolist() == [4, 0, 0]
    assert decision.byte_bounds_D1.tolist() == [0, 6, 10, 10]


def test_a_document_above_the_drop_share_is_dropped_and_keeps_its_spans():
    rule = Rule(threshold=0.5, action="hide", drop_share=0.5)
    decision = decide([(rule, 0.5, stored([0.9, 0.9, 0.1], [0.9, 0.1]))])
    assert [ACTIONS[action] for action in decision.action_D] == ["drop", "hide"]
    assert decision.forget_bytes_D.tolist() == [4, 2]


def test_a_drop_rule_leaves_no_spans_in_documents_that_it_does_not_drop():
    rule = Rule(threshold=0.5, action="drop", drop_share=0.5)
    decision = decide([(rule, 0.5, stored([0.9, 0.9, 0.1], [0.9, 0.1]))])
    assert [ACTIONS[action] for action in decision.action_D] == ["drop", "keep"]
    assert decision.forget_bytes_D.tolist() == [4, 0]


def test_a_drop_rule_without_a_share_drops_on_any_forget_token():
    decision = decide([(Rule(threshold=0.5, action="drop"), 0.5, stored([0.9, 0.1], [0.1, 0.1]))])
    assert [ACTIONS[action] for action in decision.action_D] == ["drop", "keep"]


def test_the_document_score_drops_alone():
    rule = Rule(threshold=0.99, action="drop", drop_document_score=0.7)
    scores = stored([0.995], [0.1], [], document_scores=[0.6, 0.8, float("nan")])
    decision = decide([(rule, 0.5, scores)])
    assert [ACTIONS[action] for action in decision.action_D] == ["keep", "drop", "keep"]


def test_where_policies_overlap_the_stronger_action_wins_whatever_their_order():
    mask, hide = Rule(threshold=0.5, action="mask"), Rule(threshold=0.5, action="hide")
    wide, narrow = stored([0.9, 0.9, 0.9, 0.1]), stored([0.1, 0.9, 0.1, 0.1])
    for order, expected in (((0, 1), [0, 1, 0]), ((1, 0), [1, 0, 1])):
        policies = [(mask, 0.5, wide), (hide, 0.5, narrow)]
        decision = decide([policies[at] for at in order])
        assert list(zip(decision.spans.start_N.tolist(), decision.spans.end_N.tolist())) == [(0, 2), (2, 4), (4, 6)]
        assert decision.policy_N.tolist() == expected
        assert ACTIONS[decision.action_D[0]] == "hide"


def test_policies_with_other_tokenizers_are_settled_in_bytes():
    fine, coarse = stored([0.9, 0.1, 0.1, 0.1], bytes_per_token=1), stored([0.1, 0.9], bytes_per_token=2)
    decision = decide([(Rule(threshold=0.5), 0.5, fine), (Rule(threshold=0.5), 0.5, coarse)])
    assert list(zip(decision.spans.start_N.tolist(), decision.spans.end_N.tolist())) == [(0, 1), (2, 4)]


def test_scores_of_different_texts_are_refused():
    with pytest.raises(ValueError, match="different texts"):
        decide([(Rule(), 0.5, stored([0.9])), (Rule(), 0.5, stored([0.9, 0.1]))])


def test_a_low_threshold_above_the_threshold_is_refused():
    with pytest.raises(ValidationError, match=r"low_threshold 0.9 is above threshold 0.5"):
        Rule(threshold=0.5, low_threshold=0.9)


@pytest.mark.parametrize("action", ["mask", "hide", "drop"])
def test_the_cascade_leaves_documents_below_its_threshold_whole(action):
    scores = stored([0.9, 0.1], [0.9, 0.1], [0.1, 0.1], document_scores=[0.3, 0.7, 0.7])
    decision = decide([(Rule(threshold=0.5, action=action, cascade_threshold=0.7), 0.5, scores)])
    assert [ACTIONS[chosen] for chosen in decision.action_D] == ["keep", action, "keep"]
    assert decision.forget_bytes_D.tolist() == [0, 2, 0]


@pytest.mark.parametrize("threshold", [None, 0.0])
def test_without_a_cascade_the_document_score_spares_nothing(threshold):
    scores = stored([0.9], document_scores=[0.0])
    decision = decide([(Rule(threshold=0.5, cascade_threshold=threshold), 0.5, scores)])
    assert decision.forget_bytes_D.tolist() == [2]


def test_the_cascade_of_one_policy_is_not_that_of_another():
    low, high = stored([0.9, 0.1], document_scores=[0.2]), stored([0.1, 0.9], document_scores=[0.9])
    rule = Rule(threshold=0.5, cascade_threshold=0.5)
    decision = decide([(rule, 0.5, low), (rule, 0.5, high)])
    assert decision.spans.start_N.tolist() == [2]
    assert decision.policy_N.tolist() == [1]


def test_a_document_score_that_is_no_number_spares_nothing():
    scores = stored([0.9], document_scores=[float("nan")])
    assert decide([(Rule(threshold=0.5, cascade_threshold=0.9), 0.5, scores)]).forget_bytes_D.tolist() == [2]


def test_the_document_head_still_drops_what_the_cascade_has_left_whole():
    rule = Rule(threshold=0.5, cascade_threshold=0.9, drop_document_score=0.6)
    scores = stored([0.9], [0.9], document_scores=[0.7, 0.5])
    assert [ACTIONS[chosen] for chosen in decide([(rule, 0.5, scores)]).action_D] == ["drop", "keep"]


documents = st.lists(
    st.tuples(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6), st.floats(0.01, 0.99)), min_size=1, max_size=5
)


@settings(max_examples=100, deadline=None)
@given(documents=documents, cascade=st.floats(0.01, 0.99), dilate=st.integers(0, 2))
def test_a_cascade_changes_nothing_but_the_documents_below_it(documents, cascade, dilate):
    scores = stored(*[tokens for tokens, _ in documents], document_scores=[score for _, score in documents])
    rule = Rule(threshold=0.6, low_threshold=0.4, bridge_tokens=1, dilate_tokens=dilate)
    without = decide([(rule, 0.5, scores)])
    found = decide([(rule.model_copy(update={"cascade_threshold": cascade}), 0.5, scores)])
    passes_D = np.array([score >= cascade for _, score in documents])
    assert found.forget_bytes_D.tolist() == np.where(passes_D, without.forget_bytes_D, 0).tolist()
    owner_N = np.searchsorted(without.byte_bounds_D1, without.spans.start_N, side="right") - 1
    assert found.spans.start_N.tolist() == without.spans.start_N[passes_D[owner_N]].tolist()
    assert found.spans.end_N.tolist() == without.spans.end_N[passes_D[owner_N]].tolist()
