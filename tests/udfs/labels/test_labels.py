"""Labels belong to the bytes of one text, reach any tokenizer by any overlap, and "unknown" never becomes a label."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.udfs.labels.labels import (
    DOCUMENT_SCHEMA,
    LABEL_SCHEMA,
    DocumentLabels,
    LabelError,
    check_text,
    decode_labels,
    encode_labels,
    label_rows,
    token_targets,
    unknown,
)
from tokensieve.udfs.reading.text_rows import text_hash
from tokensieve.udfs.tokenizing.tokenizer import Tokenized


def made(spans=(), values=None, holes=(), **more) -> DocumentLabels:
    return DocumentLabels(
        spans_N2=np.array(spans, dtype=np.int64).reshape(-1, 2),
        value_N=None if values is None else np.array(values, dtype=np.float32),
        unknown_M2=np.array(holes, dtype=np.int64).reshape(-1, 2),
        **more,
    )


def tokens(*documents, failed=None) -> Tokenized:
    """Token lengths in bytes per document; `failed` as in Tokenized."""
    flat = np.array([size for one in documents for size in one], dtype=np.int32)
    bounds_D1 = np.concatenate([[0], np.cumsum([len(one) for one in documents])]).astype(np.int64)
    return Tokenized(ids_T=np.zeros(len(flat), np.int32), bytes_T=flat, bounds_D1=bounds_D1, failed=failed or {})


def targets(labels, *documents, first=0, failed=None) -> tuple[list[float], list[bool]]:
    value_T, known_T = token_targets(labels, tokens(*documents, failed=failed), first)
    assert (value_T.dtype, known_T.dtype) == (np.float32, bool)
    return value_T.tolist(), known_T.tolist()


# --- targets of tokens ---


def test_a_token_that_touches_a_span_by_one_byte_is_positive_and_its_neighbour_is_not():
    #  bytes:                                0-2 3-4 5-5 6-8 9-9
    assert targets([made([(4, 7)])], [3, 2, 1, 3, 1]) == ([0, 1, 1, 1, 0], [True] * 5)
    assert targets([made([(3, 6)])], [3, 2, 1, 3, 1])[0] == [0, 1, 1, 0, 0]


def test_a_token_on_several_spans_takes_the_largest_value():
    soft = made([(0, 1), (1, 3), (4, 5)], [0.25, 0.75, 0.5])
    assert targets([soft], [2, 1, 1, 2])[0] == [0.75, 0.75, 0, 0.5]


def test_an_unknown_stretch_is_no_label_unless_a_span_lies_in_it():
    labels = made([(4, 5)], holes=[(2, 8)])
    assert targets([labels], [2, 1, 3, 2, 1]) == ([0, 0, 1, 0, 0], [True, False, True, False, True])


def test_the_pieces_of_one_character_share_its_label_and_leave_the_next_one_alone():
    # An emoji of four bytes in four tokens, of which the first holds all its bytes; then a letter.
    assert targets([made([(1, 5)])], [1, 4, 0, 0, 0, 1])[0] == [0, 1, 1, 1, 1, 0]
    assert targets([made([(5, 6)])], [1, 4, 0, 0, 0, 1])[0] == [0, 0, 0, 0, 0, 1]
    assert targets([made([(0, 1)])], [0, 1, 1])[0] == [1, 1, 0], "at the start it stands for what follows"
    assert targets([made([(0, 2)]), made()], [2], [0, 1])[0] == [1, 0, 0], "never for another document"


def test_documents_of_a_batch_do_not_reach_into_each_other():
    labels = [made([(0, 9)]), made([(0, 2)]), made(), made([(1, 2)], [0.5])]
    assert targets(labels, [1, 1], [2], [1, 1], first=1) == ([1, 1, 0, 0, 0.5], [True] * 5)


def test_a_document_that_has_no_tokens_lends_its_spans_to_nobody():
    labels = [made([(0, 4)]), made([(1, 2)]), made()]
    assert targets(labels, [], [1, 1], [], failed={0: "no UTF-8 form"})[0] == [0, 1]


def test_of_a_document_that_nobody_could_judge_nothing_is_known_and_a_remark_alone_changes_nothing():
    labels = [unknown("ab", "refused: x"), made(note="review: it talks to the labeller"), made()]
    assert targets(labels, [1, 1], [2], [2]) == ([0] * 4, [False, False, True, True])


def test_targets_refuse_spans_outside_the_tokens_text():
    with pytest.raises(LabelError, match=r"document 1 of the batch: span \[0, 5\] lies outside the text of 4 UTF-8"):
        targets([made(), made([(0, 5)])], [9], [2, 2])


@st.composite
def batches(draw):
    """Documents as byte lengths of tokens (0 among them), with disjoint spans, soft values and unknown stretches."""
    documents, labels = [], []
    for _ in range(draw(st.integers(1, 4))):
        sizes = draw(st.lists(st.integers(0, 5), max_size=12))
        cuts = sorted(draw(st.sets(st.integers(0, sum(sizes)), max_size=8)))
        holes = sorted(draw(st.sets(st.integers(0, sum(sizes)), max_size=4)))
        pairs = list(zip(cuts[::2], cuts[1::2])) if draw(st.booleans()) else list(zip(cuts, cuts[1:]))
        values = [draw(st.integers(0, 8)) / 8 for _ in pairs]
        documents.append(sizes)
        labels.append(made(pairs, values, list(zip(holes[::2], holes[1::2]))))
    return documents, labels


@given(batches())
def test_targets_equal_looking_at_every_byte(batch):
    documents, labels = batch
    value, known = [], []
    for sizes, one in zip(documents, labels):
        level, in_span, in_hole = np.zeros(sum(sizes)), np.zeros(sum(sizes), bool), np.zeros(sum(sizes), bool)
        for (start, end), v in zip(one.spans_N2.tolist(), one.values_N.tolist()):
            level[start:end], in_span[start:end] = v, True
        for start, end in one.unknown_M2.tolist():
            in_hole[start:end] = True
        ends = np.cumsum(sizes, dtype=int)
        for t in range(len(sizes)):
            # The token whose bytes count: itself, the last one before it that has any, or the first after it.
            order = [t, *range(t - 1, -1, -1), *range(t + 1, len(sizes))]
            holder = next((at for at in order if sizes[at]), t)
            part = slice(int(ends[holder]) - sizes[holder], int(ends[holder]))
            value.append(level[part].max(initial=0))
            known.append(bool(in_span[part].any() or not in_hole[part].any()))
    assert targets(labels, *documents) == (value, known)


# --- the table ---


def encoded(labels, ids=None) -> pa.RecordBatch:
    ids = ids or [f"d{n}" for n in range(len(labels))]
    return encode_labels(pa.array(ids, pa.string()), pa.array(["0" * 32] * len(labels), pa.string()), labels)


def test_labels_are_stored_as_spans_of_bytes_with_their_hash():
    batch = encoded([made([(0, 3), (5, 9)], [1, 0.5], [(3, 5)], document=0.25, note="x"), made()])
    assert batch.schema == LABEL_SCHEMA
    assert batch.to_pylist() == [
        {
            "doc_id": "d0",
            "text_hash": "0" * 32,
            "spans": [{"start": 0, "end": 3, "value": 1.0}, {"start": 5, "end": 9, "value": 0.5}],
            "unknown": [{"start": 3, "end": 5}],
            "document": 0.25,
            "note": "x",
        },
        {"doc_id": "d1", "text_hash": "0" * 32, "spans": [], "unknown": [], "document": None, "note": None},
    ]


@given(batches())
def test_decoding_gives_back_what_was_encoded_whole_sliced_or_chunked(batch):
    _, labels = batch
    one = encoded(labels)
    chunks = pa.Table.from_batches([one.slice(0, 1), one.slice(1)])
    for form, first in ((one, 0), (chunks, 0), (one.slice(1), 1)):
        decoded = decode_labels(form)
        assert list(decoded) == [f"d{n}" for n in range(first, len(labels))]
        for (stored_hash, found), wanted in zip(decoded.values(), labels[first:], strict=True):
            assert stored_hash == "0" * 32
            assert found.spans_N2.tolist() == wanted.spans_N2.tolist()
            assert found.values_N.tolist() == wanted.values_N.tolist()
            assert found.unknown_M2.tolist() == wanted.unknown_M2.tolist()
            assert (found.document, found.note) == (wanted.document, wanted.note)


def test_a_row_whose_lists_are_null_has_no_spans():
    rows = pa.Table.from_pylist([{"doc_id": "a", "text_hash": None, "note": "null_text: null"}], schema=LABEL_SCHEMA)
    text, labels = decode_labels(rows)["a"]
    assert (text, labels.spans_N2.shape, labels.unknown_M2.shape) == (None, (0, 2), (0, 2))


def test_an_id_with_two_rows_is_refused():
    with pytest.raises(LabelError, match="document b: two rows of labels"):
        decode_labels(encoded([made(), made([(0, 1)]), made()], ["a", "b", "b"]))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (made([(5, 6), (0, 3)]), "document d0: label spans must be sorted, disjoint and not empty"),
        (made([(0, 3), (2, 6)]), "sorted, disjoint"),
        (made([(2, 2)]), "not empty"),
        (made([(-1, 2)]), "sorted, disjoint"),
        (made(holes=[(5, 6), (0, 3)]), "sorted, disjoint"),
        (made([(0, 1)], [1.5]), r"one value in 0..1 a span; 1 spans have the values \[1.5\]"),
        (made([(0, 1)], [float("nan")]), "one value in 0..1"),
        (made([(0, 1), (2, 3)], [1.0]), "2 spans have the values"),
        (made(document=-0.5), "the document -0.5"),
    ],
)
def test_labels_that_break_the_contract_are_not_written(labels, expected):
    with pytest.raises(LabelError, match=expected):
        encoded([labels])


# --- labels and their text ---


def test_labels_of_another_text_are_refused_by_name():
    with pytest.raises(LabelError, match=r"label set sae, document d7: its labels are about another text .*; label"):
        check_text("sae", "d7", "now", text_hash("then"), made())
    with pytest.raises(LabelError, match="text_hash None"):
        check_text("sae", "d7", "now", None, made(note="null_text: null"))
    check_text("sae", "d7", "é now", text_hash("é now"), made([(0, 6)]))


@pytest.mark.parametrize("part", ["spans", "holes"])
def test_spans_outside_the_text_are_refused_with_the_span(part):
    labels = made(**{part: [(0, 2), (3, 7)]})
    with pytest.raises(LabelError, match=r"label set sae, document d7: span \[3, 7\] lies outside the text of 6 UTF-8"):
        check_text("sae", "d7", "é now", text_hash("é now"), labels)


# --- what an executor does ---


def rows(*documents: tuple[str, str | None, str | None]) -> pa.RecordBatch:
    """(id, text, note) as DOCUMENT_SCHEMA."""
    columns = [[*column] for column in zip(*documents)]
    columns.insert(2, [None if text is None else text_hash(text) for text in columns[1]])
    return pa.RecordBatch.from_arrays([pa.array(c, pa.string()) for c in columns], schema=DOCUMENT_SCHEMA)


def test_a_labeller_sees_readable_texts_only_and_the_others_keep_their_note():
    seen = []

    def first_word(texts):
        seen.append(list(texts))
        return [made([(0, len(text.split()[0]))], document=1.0) for text in texts]

    batch = rows(("a", "one two", None), ("b", None, "null_text: the text column is null"), ("c", "three", None))
    (out,) = label_rows(first_word, [batch])
    assert seen == [["one two", "three"]]
    assert out.column("note").to_pylist() == [None, "null_text: the text column is null", None]
    assert out.column("text_hash").to_pylist() == [text_hash("one two"), None, text_hash("three")]
    assert [[s["end"] for s in spans] for spans in out.column("spans").to_pylist()] == [[3], [], [5]]


def test_a_labeller_that_marks_what_is_not_there_is_stopped_by_document():
    with pytest.raises(LabelError, match=r"document b: span \[0, 4\] lies outside the text of 3"):
        list(label_rows(lambda texts: [made([(0, 4)]) for _ in texts], [rows(("a", "four", None), ("b", "abc", None))]))


def test_an_empty_text_that_nobody_could_judge_is_unknown_by_its_note():
    labels = unknown("", "refused: policy")
    assert encoded([labels]).column("unknown").to_pylist() == [[]]
    assert unknown("é", "x").unknown_M2.tolist() == [[0, 2]]
