"""What fired in a sentence that is judged retain becomes unknown; what was not judged stays."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tokensieve.udfs.labels.labels import LABEL_SCHEMA, DocumentLabels, LabelError, decode_labels, encode_labels
from tokensieve.udfs.sae.cross_check import OTHER, cross_check, hold_against


def spans(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def test_forget_bytes_in_a_retain_sentence_become_unknown():
    # Sentences: 0-10 forget, 10-20 retain, 20-30 not judged, 30-40 retain.
    theirs = DocumentLabels(spans_N2=spans((0, 10)), unknown_M2=spans((20, 30)))
    ours = DocumentLabels(spans_N2=spans((2, 4), (8, 12), (18, 33)), value_N=np.array([1, 0.5, 1], np.float32))
    checked = hold_against(ours, theirs)
    assert checked.spans_N2.tolist() == [[2, 4], [8, 10], [20, 30]]
    assert checked.values_N.tolist() == [1, 0.5, 1]
    assert checked.unknown_M2.tolist() == [[10, 12], [18, 20], [30, 33]]


def test_a_weak_forget_label_is_no_agreement():
    theirs = DocumentLabels(spans_N2=spans((0, 5), (5, 9)), value_N=np.array([0.4, 0.5], np.float32))
    checked = hold_against(DocumentLabels(spans_N2=spans((0, 9))), theirs)
    assert (checked.spans_N2.tolist(), checked.unknown_M2.tolist()) == ([[5, 9]], [[0, 5]])


def test_what_we_did_not_know_stays_unknown_once():
    ours = DocumentLabels(spans_N2=spans((0, 4)), unknown_M2=spans((2, 6), (8, 9)))
    checked = hold_against(ours, DocumentLabels())
    assert checked.spans_N2.tolist() == []
    assert checked.unknown_M2.tolist() == [[0, 2], [2, 6], [8, 9]]


def joined(ours: list[DocumentLabels], theirs: list[DocumentLabels | None], other_hash: str = "h0") -> pa.RecordBatch:
    ids = pa.array([f"d{at}" for at in range(len(ours))])
    hashes = pa.array(["h0"] * len(ours))
    rows = encode_labels(ids, hashes, ours)
    other = encode_labels(ids, hashes, [one or DocumentLabels() for one in theirs])
    absent = pa.array([one is None for one in theirs])
    for name, column in OTHER.items():
        values = pa.array([other_hash] * len(ours)) if name == "text_hash" else other.column(name)
        rows = rows.append_column(
            column, pc.call_function("if_else", [absent, pa.nulls(len(ours), values.type), values])
        )
    return rows


def test_document_that_the_other_set_lacks_keeps_its_labels_and_a_contradiction_is_noted():
    ours = [DocumentLabels(spans_N2=spans((0, 4))), DocumentLabels(spans_N2=spans((0, 4))), DocumentLabels(note="x: y")]
    (made,) = cross_check("claude-sentences", [joined(ours, [None, DocumentLabels(), None])])
    assert made.schema == LABEL_SCHEMA
    labels = {doc_id: label for doc_id, (_, label) in decode_labels(made).items()}
    assert labels["d0"].spans_N2.tolist() == [[0, 4]]
    assert labels["d0"].note is None
    assert labels["d1"].spans_N2.tolist() == []
    assert labels["d1"].note == "contradicted: claude-sentences calls 4 of our forget bytes retain"
    assert labels["d2"].note == "x: y"


def test_sentences_of_another_text_are_refused():
    ours = [DocumentLabels(spans_N2=spans((0, 4)))]
    with pytest.raises(LabelError, match="claude-sentences, document d0: it is about another text"):
        list(cross_check("claude-sentences", [joined(ours, [DocumentLabels()], other_hash="h9")]))
