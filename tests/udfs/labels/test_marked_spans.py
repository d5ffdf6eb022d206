"""Marks of people become sorted byte spans, or the document is unknown with the mark that cannot be meant."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.udfs.labels.labels import DOCUMENT_SCHEMA, LabelError
from tokensieve.udfs.labels.marked_spans import MARK_TYPE, MarkLabeller, marked_spans
from tokensieve.udfs.reading.text_rows import text_hash

TEXT = "é flu 😀 dose"  # bytes: é 0-2, flu 3-6, 😀 7-11, dose 12-16


def mark(start: int, end: int, type: str | None = "medical/x"):
    return {"start": start, "end": end, "type": type}


def test_characters_become_bytes_and_overlapping_nested_and_touching_marks_one_span():
    marks = [mark(8, 12), mark(0, 1), mark(2, 5), mark(2, 3), mark(4, 7), mark(7, 8)]
    assert marked_spans(TEXT, marks, "medical/", "characters").tolist() == [[0, 2], [3, 16]]
    assert marked_spans(TEXT, [mark(6, 7)], "medical/", "characters").tolist() == [[7, 11]]


def test_only_types_with_the_prefix_count_and_an_empty_prefix_takes_all():
    marks = [mark(0, 1, "biology/x"), mark(2, 5), mark(8, 12, None)]
    assert marked_spans(TEXT, marks, "medical/", "characters").tolist() == [[3, 6]]
    assert marked_spans(TEXT, marks, "", "characters").tolist() == [[0, 2], [3, 6], [12, 16]]
    assert marked_spans(TEXT, [], "", "bytes").tolist() == []


@pytest.mark.parametrize(
    ("span", "unit"),
    [((0, 13), "characters"), ((-1, 2), "characters"), ((3, 3), "characters"), ((0, 17), "bytes"), ((8, 11), "bytes")],
)
def test_a_mark_that_cannot_be_meant_is_refused_whatever_its_type(span, unit):
    with pytest.raises(LabelError, match=rf"span \[{span[0]}, {span[1]}\] is .* are the offsets in {unit}\?"):
        marked_spans(TEXT, [mark(0, 2), mark(span[0], span[1], "biology/x")], "medical/", unit)


@given(st.text(max_size=20), st.data())
def test_both_units_mark_the_same_bytes_as_one_by_one(text, data):
    at = st.integers(0, len(text))
    pairs = [sorted(data.draw(st.tuples(at, at))) for _ in range(data.draw(st.integers(0, 5)))]
    marks = [mark(start, end) for start, end in pairs if start < end]
    ends = np.cumsum([0, *(len(c.encode()) for c in text)]).tolist()
    in_bytes = [mark(ends[m["start"]], ends[m["end"]]) for m in marks]
    on = np.zeros(len(text.encode()), bool)
    for m in in_bytes:
        on[m["start"] : m["end"]] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(int), [0]])))
    expected = list(map(list, zip(edges[::2].tolist(), edges[1::2].tolist())))
    assert marked_spans(text, marks, "", "characters").tolist() == expected
    assert marked_spans(text, in_bytes, "", "bytes").tolist() == expected


def test_documents_without_marks_of_another_text_or_with_a_bad_mark_are_unknown_with_their_reason():
    rows = [
        ("good", TEXT, text_hash(TEXT), None, [mark(2, 5)]),
        ("unchecked", TEXT, None, None, []),
        ("unmarked", TEXT, None, None, None),
        ("changed", TEXT, text_hash("then"), None, [mark(2, 5)]),
        ("bad", TEXT, text_hash(TEXT), None, [mark(2, 50)]),
        ("null", None, text_hash(TEXT), "null_text: x", [mark(2, 5)]),
    ]
    schema = pa.schema([*DOCUMENT_SCHEMA, pa.field("marked_hash", pa.string()), pa.field("marks", pa.list_(MARK_TYPE))])
    keys = ("doc_id", "text", "marked_hash", "note", "marks")
    table = [dict(zip(keys, row)) | {"text_hash": row[1] and text_hash(row[1])} for row in rows]
    labeller = MarkLabeller(prefix="", unit="characters", file="marks.jsonl")
    (out,) = labeller.label([pa.RecordBatch.from_pylist(table, schema=schema)])
    found = {row["doc_id"]: row for row in out.to_pylist()}
    assert {name: [(s["start"], s["end"]) for s in row["spans"]] for name, row in found.items() if row["spans"]} == {
        "good": [(3, 6)]
    }
    whole = [{"start": 0, "end": 16}]
    assert {name for name, row in found.items() if row["unknown"] == whole} == {"unmarked", "changed", "bad"}
    notes = {name: (row["note"] or "").split(":")[0] for name, row in found.items()}
    assert notes == {
        "good": "", "unchecked": "", "unmarked": "unmarked", "changed": "other_text", "bad": "bad_span",
        "null": "null_text",
    }  # fmt: skip
    assert found["bad"]["note"].startswith("bad_span: marks.jsonl: span [2, 50] is empty, cuts")
