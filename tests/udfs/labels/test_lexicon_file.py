"""A lexicon from counts equals one from texts, is one file named by its content, and labels what it knows only."""

from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.udfs.labels.labels import LabelError
from tokensieve.udfs.labels.lexicon import COUNT_SCHEMA, count_words, learn, log_odds
from tokensieve.udfs.labels.lexicon_file import LEVELS_L, LexiconLabeller, StoredLexicon, read_lexicon

WORDS = {"flu": 3.0, "dose": 2.0, "fever": 1.0, "sea": -2.0}
TEXT = "The flu dose, a fever; sea-salt by the sea. FLU é flu!"


def stored(**more) -> StoredLexicon:
    fields = {"policy": "medicine", "definition_id": "0" * 16, "label_set": "coarse", "label_batch": "1" * 16}
    numbers = {"forget_documents": 1, "retain_documents": 1, "alpha": 1.0, "min_count": 1, "log_odds": WORDS}
    return StoredLexicon.model_validate(fields | numbers | more)


def labeller(tmp_path, threshold: float, bridge: int = 1, smooth: int = 0) -> LexiconLabeller:
    lexicon, path = stored(), tmp_path / "lexicon.json"
    path.write_bytes(lexicon.content())
    return LexiconLabeller(
        path=str(path), lexicon_id=lexicon.lexicon_id, smooth=smooth, bridge=bridge, threshold=threshold
    )


def marked(made, text: str = TEXT) -> list[str]:
    (labels,) = made.label([text])
    assert labels.note is None
    return [text.encode()[start:end].decode() for start, end in labels.spans_N2.tolist()]


def test_words_at_or_above_the_threshold_are_spans_and_neighbours_are_joined(tmp_path):
    assert marked(labeller(tmp_path, 2.0)) == ["flu dose", "FLU", "flu"]
    assert marked(labeller(tmp_path, 2.0, bridge=0)) == ["flu", "dose", "FLU", "flu"]
    assert marked(labeller(tmp_path, 1.0, bridge=4)) == ["flu dose, a fever", "FLU é flu"]
    assert marked(labeller(tmp_path, 2.01)) == ["flu", "FLU", "flu"]


def test_a_smoothed_score_reaches_the_words_around(tmp_path):
    # flu, dose, a: (3 + 2 + 0) / 3 of the middle one; at both ends the mean is over two words.
    assert marked(labeller(tmp_path, 1.6, smooth=1), "flu dose a sea") == ["flu dose"]


@pytest.mark.parametrize("text", ["", "12 é 34", "Words nobody counted."])
def test_a_text_without_a_known_word_is_unknown_not_retained(tmp_path, text):
    (labels,) = labeller(tmp_path, 1.0).label([text])
    assert labels.note == "no_words: the lexicon knows no word of this text"
    assert labels.spans_N2.tolist() == []
    assert labels.unknown_M2.tolist() == ([[0, len(text.encode())]] if text else [])


@settings(deadline=None, max_examples=40)
@given(text=st.lists(st.sampled_from([*WORDS, "other", ", ", " ", " é "]), max_size=20).map(" ".join))
def test_bytes_at_each_level_are_those_that_the_labeller_marks_at_that_threshold(tmp_path_factory, text):
    made = labeller(tmp_path_factory.getbasetemp(), 1.0, bridge=2)
    (rows,) = made.shares([pa.RecordBatch.from_pydict({"text": [text, ""]})])
    for row in rows.to_pylist():
        (labels,) = replace(made, threshold=round(float(LEVELS_L[row["level"]]), 1)).label([text])
        assert row["forget"] == sum(end - start for start, end in labels.spans_N2.tolist())
        assert row["total"] == len(text.encode())


def rows(*documents: tuple[str, float], changed: str = "") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {"doc_id": f"d{n}", "text": text, "text_hash": text, "label": label, "label_hash": changed or text}
            for n, (text, label) in enumerate(documents)
        ]
    )


@given(st.lists(st.tuples(st.text("ab' éX", max_size=12), st.sampled_from([0.0, 0.4, 0.5, 1.0])), max_size=8))
def test_counts_of_partitions_add_up_to_the_lexicon_of_all_texts(documents):
    parts = [documents[::2], documents[1::2]]
    counted = [out for part in parts if part for out in count_words("coarse", [rows(one) for one in part])]
    table = pa.Table.from_batches(counted, schema=COUNT_SCHEMA).group_by("word")
    table = table.aggregate([("other", "sum"), ("positive", "sum")])
    count_W2 = np.stack([table["other_sum"].to_numpy(), table["positive_sum"].to_numpy()], axis=1)
    words = [word.encode() for word in table["word"].to_pylist()]
    found = dict(zip(words, log_odds(count_W2, count_W2.sum(axis=0), len(words), 1.0).tolist()))
    texts, labels = [text for text, _ in documents], [label >= 0.5 for _, label in documents]
    expected = learn(texts, np.array(labels, dtype=bool)).log_odds
    assert found == pytest.approx(expected, abs=1e-9)


def test_rare_words_count_in_the_totals_even_where_they_are_left_out():
    count_W2 = np.array([[0, 2], [4, 0], [0, 1]])
    all_words = log_odds(count_W2, np.array([4, 3]), 3, 1.0)
    assert all_words.tolist() == pytest.approx([np.log((3 / 6) / (1 / 7)), np.log((1 / 6) / (5 / 7)), np.log(7 / 3)])
    assert log_odds(count_W2[:2], np.array([4, 3]), 3, 1.0).tolist() == all_words[:2].tolist()


def test_a_label_about_another_text_stops_the_counting_by_document():
    with pytest.raises(LabelError, match="label set coarse, document d1: its label is about another text"):
        list(partial(count_words, "coarse")([rows(("a", 1.0)), rows(("a", 1.0), ("b", 0.0), changed="a")]))


def test_the_file_is_named_by_its_content_whatever_the_order_of_words(tmp_path):
    backwards = stored(log_odds=dict(reversed(WORDS.items())))
    assert backwards.content() == stored().content()
    assert backwards.lexicon_id == stored().lexicon_id != stored(policy="other").lexicon_id
    path = tmp_path / "lexicon.json"
    path.write_bytes(stored().content())
    assert read_lexicon(str(path), stored().lexicon_id).log_odds == WORDS


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda path: path.unlink(), "cannot be read: .*every node must see this path"),
        (lambda path: path.write_text("{}"), "is no tokensieve-lexicon/1"),
        (lambda path: path.write_bytes(stored(log_odds={"flu": 9.0}).content()), "has the content .*learn it again"),
    ],
)
def test_a_lexicon_that_is_missing_broken_or_changed_is_refused(tmp_path, change, expected):
    made = labeller(tmp_path, 1.0)
    change(tmp_path / "lexicon.json")
    with pytest.raises(LabelError, match=expected):
        made.label(["flu"])
