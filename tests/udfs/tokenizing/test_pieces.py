"""Long texts in pieces: the tokens of the whole, bounded calls, and honest refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.bundles import small_tokenizer
from tokensieve.udfs.tokenizing import pieces
from tokensieve.udfs.tokenizing.cuts import KNOWN_PATTERNS, are_exact, cuts
from tokensieve.udfs.tokenizing.texts import Texts
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

SEEDS = ["the patient's aspirin, 25 mg/day; we'll see", "naïve 日本語。テスト、漢字，字 z\u0301", "x=y+1\r\n\n  a\tb"]
ATOMS = [
    *"aZ09'’\"/.,;-=_ \n\r\t\x00\x1c\x7f\x85\u00a0\u2003\u3000\u200b\u180e",
    *"éßſİǅжעم字語。、，すア한ไก็٣²Ⅷ\u0301\u0489👩\U0010fffd",
    *["'s", "'ll", "'RE", "'d", "  ", "\r\n", "   \n", "12345", "aaaa", "日本", "<|x|>"],
]
TEXT = st.lists(st.sampled_from(ATOMS), max_size=30).map("".join)


def with_steps(path: Path, **changes: object) -> Path:
    """A small byte-level tokenizer with other settings."""
    spec = json.loads(small_tokenizer(path, SEEDS * 3, 420).read_text())
    path.write_text(json.dumps(spec | changes))
    return path


def split_by(pattern: str) -> dict[str, object]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level]}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory) -> list[ByteTokenizer]:
    """GPT-2's rule, every known pattern, NFC with runs of spaces as tokens; each by every back end that can."""
    folder = tmp_path_factory.mktemp("known")
    spaces = {"content": "  ", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    added = [{"id": 420, "special": False, **spaces}]
    files = [with_steps(folder / "gpt2.json"), with_steps(folder / "nfc.json", normalizer={"type": "NFC"})]
    files += [with_steps(folder / "spaces.json", normalizer={"type": "NFC"}, added_tokens=added)]
    for at, pattern in enumerate(sorted(KNOWN_PATTERNS)):
        files.append(with_steps(folder / f"{at}.json", pre_tokenizer=split_by(pattern)))
    loaded = [ByteTokenizer.load(file) for file in files]
    assert all(one._reference.exact_cuts for one in loaded)
    fast = (ByteTokenizer.load(file, "auto") for file in files)
    return loaded + [one for one in fast if one.backend != "tokenizers"]


@pytest.fixture(scope="module")
def splitters(tokenizers) -> dict[str, Any]:
    """The pre-tokenizers of the same files."""
    return {one.path.name: Tokenizer.from_file(str(one.path)).pre_tokenizer for one in tokenizers}


def words(split: Any, text: str) -> list[str]:
    """What the splitting pattern makes of a text, before any merge."""
    return [word for word, _ in split.pre_tokenize_str(text)]


def tokens(made: Tokenized) -> list[tuple[int, int]]:
    assert made.failed == {}
    return list(zip(made.ids_T.tolist(), made.bytes_T.tolist()))


@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_no_word_of_a_known_pattern_reaches_over_a_cut(splitters, text):
    data = text.encode()
    places = cuts(np.frombuffer(data, np.uint8), 1, len(data)).tolist() if data else []
    for name, split in splitters.items():
        whole = words(split, text)
        for at in places:
            assert words(split, data[:at].decode()) + words(split, data[at:].decode()) == whole, (name, at)


@settings(max_examples=60, deadline=None)
@given(text=TEXT)
def test_a_cut_at_any_place_leaves_the_tokens_as_they_are(tokenizers, text):
    data = text.encode()
    places = cuts(np.frombuffer(data, np.uint8), 1, len(data)).tolist() if data else []
    for tokenizer in tokenizers:
        whole = tokens(tokenizer.encode([text]))
        for at in places:
            halves = [data[:at].decode(), data[at:].decode()]
            assert tokens(tokenizer.encode(halves)) == whole, (tokenizer.path.name, tokenizer.backend, halves)


def test_words_lines_numbers_and_ideographs_give_places_to_cut():
    def found(text: str) -> list[int]:
        return cuts(np.frombuffer(text.encode(), np.uint8), 1, len(text.encode())).tolist()

    assert found("ab cd") == [2]
    assert found("a1b\n") == [1, 2, 3]
    assert found("it's") == []  # the apostrophe may belong to what follows
    assert found(". x") == [1]
    assert found(".\nx") == []  # cl100k takes a newline after punctuation along
    assert found("é b") == [2]
    assert found("\u3000 b") == []  # white space of its own
    assert found("漢、字") == [3]
    assert found("aaaa") == []


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXT, max_size=6))
def test_a_batch_in_pieces_has_the_tokens_and_bounds_of_the_batch(tokenizers, texts):
    short = {"PIECE_BYTES": 8, "CALL_BYTES": 20, "NEAR_BYTES": 3}
    with pytest.MonkeyPatch.context() as patch:
        expected = [tokenizer.encode(texts) for tokenizer in tokenizers]
        for name, value in short.items():
            patch.setattr(pieces, name, value)
        for tokenizer, whole in zip(tokenizers, expected):
            made = tokenizer.encode(texts)
            kept = [d for d in range(len(texts)) if d not in made.failed]  # eight white spaces are too many here
            for d in kept:
                part, old = (slice(*one.bounds_D1[d : d + 2].tolist()) for one in (made, whole))
                assert made.ids_T[part].tolist() == whole.ids_T[old].tolist()
                assert made.bytes_T[part].tolist() == whole.bytes_T[old].tolist()
            assert made.bounds_D1[-1] == len(made.ids_T)


class Recorded:
    """A back end that keeps the sizes of what it was given: a token a byte."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def encode(self, texts: Texts) -> pieces.Encoded:
        self.calls.append(np.diff(texts.bounds_D1).tolist())
        ids_T = texts.data_B.astype(np.int32)
        return pieces.Encoded(ids_T=ids_T, bytes_T=np.ones_like(ids_T), bounds_D1=texts.bounds_D1)


def test_no_call_has_more_text_than_planned_and_long_texts_are_cut_near_the_limit():
    texts = ["short", "word " * 400_000, "", "tail"]
    recorded = Recorded()
    made = pieces.encode(recorded, pieces.pieces(Texts(texts), exact=True))
    assert max(map(sum, recorded.calls)) <= pieces.CALL_BYTES
    assert sum(map(sum, recorded.calls)) == 2_000_009
    long = [size for call in recorded.calls for size in call if size > 5]
    assert all(2**19 - 5 <= size <= 2**19 for size in long[:-1])
    assert made.bounds_D1.tolist() == [0, 5, 2_000_005, 2_000_005, 2_000_009]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return with_steps(tmp_path_factory.mktemp("plain") / "tokenizer.json")


@pytest.mark.parametrize("backend", ["gigatoken", "tiktoken", "tokenizers"])
def test_what_cannot_be_cut_is_refused_with_its_reason_and_leaves_its_neighbours_alone(plain, backend):
    tokenizer = ByteTokenizer.load(plain, backend)
    texts = ["before", "a" * (5 * 2**20), "word " * 200_000, " " * 600_000 + "x", "after"]
    made = tokenizer.encode(texts)
    assert sorted(made.failed) == [1, 3]
    assert "5,242,880 bytes, more than 4,194,304 of them in a row without an end of a word" in made.failed[1]
    assert "at least 524,288 of them white space in a row" in made.failed[3]
    assert np.diff(made.bounds_D1)[[1, 3]].tolist() == [0, 0]
    for d in (0, 2, 4):
        assert made.bytes_T[made.bounds_D1[d] : made.bounds_D1[d + 1]].sum() == len(texts[d])


def test_a_word_of_a_megabyte_is_encoded_whole(plain):
    made = ByteTokenizer.load(plain, "auto").encode(["a" * 2**20])
    assert made.failed == {}
    assert made.bytes_T.sum() == 2**20


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}},
        {"pre_tokenizer": split_by(r"\w+|\s+")},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"added_tokens": [{"id": 420, "content": "new york", "special": False}]},
    ],
)
def test_tokenizers_of_which_nothing_is_known_are_not_cut(tmp_path, changes):
    spec = json.loads(with_steps(tmp_path / "tokenizer.json").read_text())
    assert are_exact(spec)
    assert not are_exact(spec | changes)


def test_a_tokenizer_that_cannot_be_cut_has_a_limit(tmp_path):
    tokenizer = ByteTokenizer.load(with_steps(tmp_path / "lower.json", normalizer={"type": "Lowercase"}))
    made = tokenizer.encode(["short", "word " * (9 * 2**20 // 5)])
    assert list(made.failed) == [1]
    assert "above the 8,388,608 that this tokenizer can take" in made.failed[1]
    assert made.bytes_T.sum() == 5
