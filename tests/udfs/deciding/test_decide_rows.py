import numpy as np
import pyarrow as pa
import pytest

from tokensieve.udfs.deciding.decide_rows import DECISION_TYPE, decide_rows
from tokensieve.udfs.deciding.rule import Rule
from tokensieve.udfs.scores.stored_scores import binary_array, encode_lengths
from tokensieve.udfs.scoring.score_plan import POLICY_TYPE


def column(lengths: list[list[int]], scores: list[list[int]]) -> pa.StructArray:
    """A policy's column of a scores table, from token lengths in bytes and grid values."""
    bounds = np.concatenate([[0], np.cumsum([len(document) for document in lengths])])
    flat = np.array([score for document in scores for score in document], dtype=np.uint8)
    score_bounds = np.concatenate([[0], np.cumsum([len(document) for document in scores])])
    children = [
        pa.array(["b"] * len(lengths)),
        encode_lengths(np.array([n for document in lengths for n in document], dtype=np.int64), bounds),
        binary_array(flat, score_bounds),
        pa.array([0.5] * len(lengths), pa.float32()),
        pa.array([0] * len(lengths), pa.int32()),
        pa.nulls(len(lengths), pa.float32()),
    ]
    return pa.StructArray.from_arrays(children, fields=list(POLICY_TYPE))


def test_a_batch_is_decided_row_by_row_in_offsets_of_each_document():
    scores = column([[3, 300, 2], [], [4, 1], [1]], [[200, 200, 0], [], [0, 255], [0]])
    decided = decide_rows({"medicine": (Rule(threshold=0.5), 0.9)}, [scores])
    assert decided.type == DECISION_TYPE
    assert decided.to_pylist() == [
        {"forget_spans": [{"start": 0, "end": 303, "policy": "medicine"}], "action": "mask", "forget_bytes": 303},
        {"forget_spans": [], "action": "keep", "forget_bytes": 0},
        {"forget_spans": [{"start": 4, "end": 5, "policy": "medicine"}], "action": "mask", "forget_bytes": 1},
        {"forget_spans": [], "action": "keep", "forget_bytes": 0},
    ]


def test_a_slice_is_decided_like_the_same_rows_alone():
    lengths, scores = [[3, 2], [4, 1], [1, 1]], [[200, 0], [0, 255], [255, 255]]
    rules = {"p": (Rule(threshold=0.5), 0.5)}
    whole = decide_rows(rules, [column(lengths, scores)]).to_pylist()
    assert decide_rows(rules, [column(lengths, scores).slice(1)]).to_pylist() == whole[1:]


def test_two_policies_name_each_span_after_the_one_that_asks_for_it():
    rules = {"a": (Rule(threshold=0.5), 0.5), "b": (Rule(threshold=0.5, action="hide"), 0.5)}
    columns = [column([[2, 2, 2]], [[200, 200, 0]]), column([[3, 3]], [[0, 200]])]
    assert decide_rows(rules, columns).to_pylist() == [
        {
            "forget_spans": [{"start": 0, "end": 3, "policy": "a"}, {"start": 3, "end": 6, "policy": "b"}],
            "action": "hide",
            "forget_bytes": 6,
        }
    ]


def test_damaged_scores_are_refused():
    with pytest.raises(ValueError, match="different numbers of tokens"):
        decide_rows({"p": (Rule(), 0.5)}, [column([[1, 1]], [[5]])])
