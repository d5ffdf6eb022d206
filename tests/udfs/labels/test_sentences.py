"""Sentences tile the text, to the byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.udfs.labels.sentences import LONGEST, sentence_spans, split


def sentences(text: str) -> list[str]:
    return split(text, sentence_spans(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ("Dr. Smith saw Mr. J. Doe et al. He left.", ["Dr. Smith saw Mr. J. Doe et al. He left."]),
        ("It rose (see Fig. 3). Then it fell.", ["It rose (see Fig. 3). ", "Then it fell."]),
        ('He said "stop." She did.', ['He said "stop." ', "She did."]),
        ("Give 2.5 mg, e.g. Monday. Then stop.", ["Give 2.5 mg, e.g. Monday. ", "Then stop."]),
        ("The end...  of it. Yes.", ["The end...  of it. ", "Yes."]),
        ("A heading\n\nIts text goes\non here.", ["A heading\n\n", "Its text goes\non here."]),
        ("Buy:\n- milk\n- salt\n1. First\n2. Second", ["Buy:\n", "- milk\n", "- salt\n", "1. First\n", "2. Second"]),
        ("血圧が高い。薬を飲む！次。", ["血圧が高い。", "薬を飲む！", "次。"]),
        ("  leading. Space", ["  leading. ", "Space"]),
        ("So did I. He too.", ["So did I. ", "He too."]),
        ("", []),
        (" \n\n ", [" \n\n "]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, expected):
    assert sentences(text) == expected


def test_spans_are_bytes_not_characters():
    assert sentence_spans("Ärzte. Blut fließt.").tolist() == [[0, 8], [8, 21]]


def test_text_without_an_end_mark_is_cut_between_words():
    pieces = sentences("word " * 500)
    assert [len(piece) for piece in pieces] == [1000, 1000, 500]
    assert [len(piece) for piece in sentences("x" * (LONGEST + 1))] == [LONGEST, 1]


@pytest.mark.parametrize("unit", [" ", ".", "\n", "\n ", '."', "。", "\t\r"])
def test_a_long_run_of_one_mark_is_cut_in_linear_time(unit):
    text = unit * 200_000 + "x"
    assert sentence_spans(text)[-1, 1] == len(text.encode())


@given(st.text(alphabet=st.sampled_from("aB1. \n!?-。é😀\t\"'"), max_size=200))
def test_spans_tile_every_text(text):
    spans_S2 = sentence_spans(text)
    assert b"".join(piece.encode() for piece in split(text, spans_S2)) == text.encode()
    assert (spans_S2[1:, 0] == spans_S2[:-1, 1]).all()
    assert (spans_S2[:, 0] < spans_S2[:, 1]).all()
    assert sentence_spans(text).tolist() == spans_S2.tolist()
