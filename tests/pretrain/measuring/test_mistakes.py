"""The passages where a classifier is most wrong: which are chosen, and that their tokens are told apart."""

from collections.abc import Sequence

import numpy as np

from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.pretrain.measuring.mistakes import PASSAGE, Mistakes
from tokensieve.pretrain.measuring.model import Reading
from tokensieve.udfs.scores.stored_scores import quantize_logits
from tokensieve.udfs.tokenizing.tokenizer import Tokenized


def read(documents: Sequence[Sequence[tuple[str, float, int]]]) -> tuple[Documents, Reading, np.ndarray, np.ndarray]:
    """Documents of tokens (text, logit, label: 1, 0, or -1 for unknown), as `Mistakes.add` takes them."""
    flat = [token for document in documents for token in document]
    texts = ["".join(text for text, *_ in document) for document in documents]
    tokens = Tokenized(
        ids_T=np.zeros(len(flat), dtype=np.int32),
        bytes_T=np.array([len(text.encode()) for text, *_ in flat], dtype=np.int32),
        bounds_D1=np.cumsum([0, *map(len, documents)]).astype(np.int64),
        failed={},
    )
    label_T = np.array([label for *_, label in flat])
    count = len(documents)
    made = Documents(
        ids=[f"d{d}" for d in range(count)],
        texts=texts,
        domains=["biology"] * count,
        sources=["book"] * count,
        licenses=[""] * count,
        positive_D=np.zeros(count, dtype=bool),
        borderline_D=np.zeros(count, dtype=bool),
    )
    levels_T = quantize_logits(np.array([logit for _, logit, _ in flat]))
    return made, Reading(tokens=tokens, levels_T=levels_T, document_D=np.zeros(count)), label_T == 1, label_T >= 0


def test_each_token_is_told_apart_and_unknown_ones_count_neither_way():
    mistakes = Mistakes(level=128, limit=5)
    mistakes.add(*read([[("a", 2, 0), ("b", -2, 1), ("c", 2, 1), ("d", -2, 0), ("e", 2, -1)]]))
    false, missed = mistakes.worst()
    assert [piece.kind for piece in false.pieces] == [
        "false_forget", "missed_forget", "right_forget", "right_retain", "unknown",
    ]  # fmt: skip
    assert ([piece.text for piece in false.pieces], false.pieces[0].probability) == (list("abcde"), 0.8808)
    assert (false.kind, false.wrong, missed.kind, missed.wrong) == ("false_forget", 1, "missed_forget", 1)
    assert (false.doc_id, false.source, false.domain, false.document_probability) == ("d0", "book", "biology", 0.5)


def test_sure_mistakes_come_before_near_misses_and_only_the_worst_are_kept():
    mistakes = Mistakes(level=128, limit=2)
    mistakes.add(*read([[("x", 0.1, 0)], [("x", 6, 0)], [("x", 3, 0)], [("x", -3, 0)]]))
    assert [(one.doc_id, one.kind) for one in mistakes.worst()] == [("d1", "false_forget"), ("d2", "false_forget")]


def test_of_equal_mistakes_the_earlier_document_stays():
    mistakes = Mistakes(level=128, limit=1)
    mistakes.add(*read([[("x", 2, 0)], [("y", 2, 0)]]))
    assert [one.doc_id for one in mistakes.worst()] == ["d0"]


def test_a_long_document_shows_its_worst_passage():
    calm, wrong = ("ab", -4, 0), ("ab", 4, 0)
    mistakes = Mistakes(level=128, limit=1)
    mistakes.add(*read([[calm] * 500 + [wrong] * 50 + [calm] * 500]))
    (one,) = mistakes.worst()
    assert (one.wrong, len(one.pieces), one.tokens) == (50, PASSAGE, 1050)
    assert 550 - PASSAGE <= one.first_token <= 500


def test_a_character_cut_by_tokens_is_shown_once_and_whole():
    documents, reading, *_ = read([[("a", 2, 0), ("€", 2, 0), ("z", 2, 0)]])
    cut = Tokenized(
        ids_T=np.zeros(5, dtype=np.int32),
        bytes_T=np.array([1, 1, 1, 1, 1], dtype=np.int32),
        bounds_D1=np.array([0, 5]),
        failed={},
    )
    levels_T = quantize_logits(np.full(5, 2.0))
    mistakes = Mistakes(level=128, limit=1)
    reading = Reading(tokens=cut, levels_T=levels_T, document_D=reading.document_D)
    mistakes.add(documents, reading, np.zeros(5, dtype=bool), np.ones(5, dtype=bool))
    assert [piece.text for piece in mistakes.worst()[0].pieces] == ["a", "€", "z"]


def test_without_a_mistake_nothing_is_shown():
    mistakes = Mistakes(level=128, limit=3)
    mistakes.add(*read([[("a", 2, 1), ("b", -2, 0)], []]))
    assert mistakes.worst() == []
