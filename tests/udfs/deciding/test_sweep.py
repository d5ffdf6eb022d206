"""A sweep counts at every threshold what a decision at that threshold counts, whatever the rule."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.udfs.deciding.rule import ACTIONS, PolicyScores, Rule, decide, token_spans
from tokensieve.udfs.deciding.sweep import Swept, sweep, sweep_rows
from tokensieve.udfs.scores.stored_scores import binary_array, encode_lengths

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


def stored(documents: list[list[int]], bytes_T: list[int] | None = None, document_scores: list[float] | None = None):
    """Scores of documents given as grid values; 128 is the probability one half."""
    count = sum(map(len, documents))
    return PolicyScores(
        scores_T=np.array([score for document in documents for score in document], dtype=np.uint8),
        bytes_T=np.array(bytes_T or [2] * count, dtype=np.int64),
        bounds_D1=np.cumsum([0, *map(len, documents)]),
        document_score_D=np.array(document_scores or [0.5] * len(documents)),
    )


def as_lists(found: Swept) -> dict[str, list[int]]:
    return {name: getattr(found, name).tolist() for name in Swept.__dataclass_fields__}


def test_every_threshold_counts_documents_tokens_and_bytes():
    scores = stored([[0, 150, 200], [128, 0], []], bytes_T=[5, 1, 2, 3, 7])
    assert as_lists(sweep(Rule(), (0.5, 0.7, 0.9), scores)) == {
        "marked_K": [2, 1, 1],
        "dropped_K": [0, 0, 0],
        "forget_tokens_K": [3, 2, 1],
        "forget_bytes_K": [6, 3, 2],
    }


def test_runs_gaps_and_dilation_stay_within_a_document():
    rule = Rule(min_tokens=2, bridge_tokens=3, dilate_tokens=1)
    scores = stored([[0, 200, 200], [200, 0, 0], [200, 200, 0, 200, 200]])
    assert sweep(rule, (0.5,), scores).forget_tokens_K.tolist() == [3 + 5]


def test_an_empty_batch_counts_nothing():
    scores = stored([])
    assert list(as_lists(sweep(Rule(bridge_tokens=2), (0.3, 0.5), scores)).values()) == [[0, 0]] * 4


@pytest.mark.parametrize("thresholds", [(), (0.5, 0.4), (0.5, 0.5), tuple(at / 300 for at in range(1, 257))])
def test_thresholds_out_of_order_doubled_or_too_many_are_refused(thresholds):
    with pytest.raises(ValueError, match="ascending order"):
        sweep(Rule(), thresholds, stored([[1]]))


rules = st.builds(
    Rule,
    low_threshold=st.none() | st.sampled_from([0.2, 0.5, 0.8]),
    min_tokens=st.integers(1, 4),
    bridge_tokens=st.integers(0, 4),
    dilate_tokens=st.integers(0, 3),
    cascade_threshold=st.none() | st.just(0.4),
    action=st.sampled_from(["mask", "hide", "drop"]),
    drop_share=st.none() | st.sampled_from([0.0, 0.4]),
    drop_document_score=st.none() | st.just(0.7),
)
grid = st.sampled_from([0, 90, 115, 128, 140, 165, 255])
corpora = st.lists(
    st.tuples(
        st.lists(st.tuples(grid, st.integers(0, 3)), max_size=14), st.sampled_from([0.1, 0.5, 0.9, float("nan")])
    ),
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(rule=rules, corpus=corpora)
def test_a_sweep_equals_deciding_at_each_threshold(rule, corpus):
    tokens = [tokens for tokens, _ in corpus]
    scores = stored(
        [[score for score, _ in document] for document in tokens],
        [size for document in tokens for _, size in document],
        [score for _, score in corpus],
    )
    found = sweep(rule, THRESHOLDS, scores)
    for at, threshold in enumerate(THRESHOLDS):
        here = rule.model_copy(update={"threshold": threshold})
        decision = decide([(here, 0.5, scores)])
        dropped = decision.action_D == ACTIONS.index("drop")
        assert found.forget_bytes_K[at] == decision.forget_bytes_D.sum()
        assert found.dropped_K[at] == dropped.sum()
        assert found.marked_K[at] == np.count_nonzero((decision.forget_bytes_D > 0) & ~dropped)
        if rule.action != "drop" and rule.cascade_threshold is None:
            spans = token_spans(scores.scores_T, scores.bounds_D1, here, 0.5)
            assert found.forget_tokens_K[at] == (spans.end_N - spans.start_N).sum()


def test_a_partition_yields_a_row_for_each_batch_policy_and_threshold():
    def batch(*documents: bytes) -> pa.RecordBatch:
        flat, bounds = np.frombuffer(b"".join(documents), np.uint8), np.cumsum([0, *map(len, documents)])
        children = [
            encode_lengths(np.full(len(flat), 3), bounds),
            binary_array(flat, bounds),
            pa.array([0.5] * len(documents), pa.float32()),
        ]
        names = ["token_bytes", "token_scores", "doc_score"]
        return pa.RecordBatch.from_pydict({"medicine": pa.StructArray.from_arrays(children, names=names)})

    first, second = list(
        sweep_rows({"medicine": Rule()}, (0.5, 0.9), iter([batch(b"\xff\x00", b"\x80"), batch(b"\x00")]))
    )
    assert first.to_pylist() == [
        {
            "policy": "medicine", "threshold": 0.5, "documents": 2, "tokens": 3, "text_bytes": 9,
            "marked": 2, "dropped": 0, "forget_tokens": 2, "forget_bytes": 6,
        },
        {
            "policy": "medicine", "threshold": 0.9, "documents": 2, "tokens": 3, "text_bytes": 9,
            "marked": 1, "dropped": 0, "forget_tokens": 1, "forget_bytes": 3,
        },
    ]  # fmt: skip
    assert [row["documents"] for row in second.to_pylist()] == [1, 1]
