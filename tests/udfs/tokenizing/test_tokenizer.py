"""Tokens tile a text's bytes whatever the text and the kind of tokenizer."""

import base64
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tokensieve.udfs.tokenizing.hugging_face import HuggingFaceJson
from tokensieve.udfs.tokenizing.texts import byte_offsets
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

TRAINING = ["The patient has high blood pressure. " * 8, "Zebrafish embryos were imaged.\n" * 8, "naïve 日本語 text"]
NASTY = {
    "empty": "",
    "nul": "a\x00b\x00",
    "emoji joined by ZWJ": "x👩‍👩‍👧‍👦y 🏳️‍🌈",
    "combining storm": "z" + "\u0301\u0489" * 200 + " end",
    "right to left": "سلام עולם \u202eabc\u202c",
    "special look-alike": "<|endoftext|> and <|hidden|><|endoftext|>",
    "odd white space": " \u00a0\u2003\t\r\n\n  x ",
    "private use and last plane": "\ue000\U0010fffd",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="module")
def byte_level(folder) -> ByteTokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    return _saved(tokenizer, folder / "byte_level.json")


@pytest.fixture(scope="module")
def sentencepiece_like(folder) -> ByteTokenizer:
    """BPE with byte fallback that writes a space as U+2581, as Gemma's does."""
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", *bytes_], show_progress=False)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.train_from_iterator(["plain ascii words only"] * 20, trainer)
    return _saved(tokenizer, folder / "sentencepiece_like.json")


@pytest.fixture(scope="module")
def word_piece(folder) -> ByteTokenizer:
    """Lower-cases, strips accents and drops white space: most bytes lie between its tokens."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(TRAINING, trainer)
    return _saved(tokenizer, folder / "word_piece.json")


@pytest.fixture(scope="module")
def ranks(folder) -> ByteTokenizer:
    tokens = [bytes([b]) for b in range(256)] + [b"th", b"the", b" the"]
    lines = [base64.b64encode(token) + b" %d" % rank for rank, token in enumerate(tokens)]
    path = folder / "cl100k_base.tiktoken"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return ByteTokenizer.load(path)


def _saved(tokenizer: Tokenizer, path: Path) -> ByteTokenizer:
    tokenizer.save(str(path))
    return ByteTokenizer.load(path)


def _document(tokens: Tokenized, d: int) -> tuple[list[int], list[int]]:
    part = slice(tokens.bounds_D1[d], tokens.bounds_D1[d + 1])
    return tokens.ids_T[part].tolist(), tokens.bytes_T[part].tolist()


@pytest.mark.parametrize("name", ["byte_level", "sentencepiece_like", "ranks"])
@pytest.mark.parametrize("case", NASTY)
def test_byte_lengths_tile_every_nasty_text(name, case, request):
    tokens = request.getfixturevalue(name).encode(["before", NASTY[case], "after"])
    assert tokens.failed == {}
    assert sum(_document(tokens, 1)[1]) == len(NASTY[case].encode())
    assert (tokens.ids_T.dtype, tokens.bytes_T.dtype, tokens.bounds_D1.dtype) == (np.int32, np.int32, np.int64)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=40), max_size=5))
def test_byte_lengths_tile_any_unicode_text(texts, byte_level, sentencepiece_like, ranks):
    for tokenizer in (byte_level, sentencepiece_like, ranks):
        tokens = tokenizer.encode(texts)
        sizes = [sum(_document(tokens, d)[1]) for d in range(len(texts))]
        assert sizes == [len(text.encode()) for text in texts]
        assert tokens.failed == {}


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
def test_table_and_offsets_agree_up_to_shared_characters(text, byte_level):
    """The fast path splits a character's bytes exactly; by offsets the first of its tokens gets them all."""
    by_table = byte_level.encode([text])
    by_offsets = HuggingFaceJson(byte_level.path, byte_level.data).by_offsets([text])
    assert by_table.ids_T.tolist() == by_offsets.ids_T.tolist()
    assert (np.cumsum(by_table.bytes_T) <= np.cumsum(by_offsets.bytes_T)).all()
    assert by_table.bytes_T.sum() == by_offsets.bytes_T.sum() == len(text.encode())
    if text.isascii():
        assert by_table.bytes_T.tolist() == by_offsets.bytes_T.tolist()


def test_bytes_between_tokens_belong_to_the_later_one_and_a_tail_to_the_last(word_piece):
    _, lengths = _document(word_piece.encode(["The  patient. \n"]), 0)
    assert lengths == [len("The"), len("  patient"), len(". \n")]


def test_a_text_without_tokens_is_failed_and_not_guessed_at(word_piece):
    tokens = word_piece.encode(["ok", " \n "])
    assert list(tokens.failed) == [1]
    assert "cover 0 of 3 UTF-8 bytes" in tokens.failed[1]
    assert tokens.bounds_D1[1] == tokens.bounds_D1[2]


def test_four_byte_character_split_over_byte_tokens_is_counted_once(sentencepiece_like):
    assert _document(sentencepiece_like.encode(["👩"]), 0)[1] == [4, 0, 0, 0]


def test_empty_text_has_no_tokens_and_no_failure(byte_level):
    tokens = byte_level.encode([""])
    assert (len(tokens.ids_T), tokens.bounds_D1.tolist(), tokens.failed) == (0, [0, 0], {})
    assert byte_level.encode([]).bounds_D1.tolist() == [0]


def test_special_look_alikes_in_text_stay_text(byte_level, ranks):
    for tokenizer in (byte_level, ranks):
        end = tokenizer.token_id("<|endoftext|>")
        ids, _ = _document(tokenizer.encode(["a<|endoftext|>b"]), 0)
        assert end is not None
        assert end not in ids
        assert tokenizer.decode(ids) == "a<|endoftext|>b"


def test_lone_surrogate_is_failed_with_its_place(byte_level):
    tokens = byte_level.encode(["fine", "ab\ud800", "fine"])
    assert "lone surrogate at character 2" in tokens.failed[1]
    assert _document(tokens, 1) == ([], [])
    assert _document(tokens, 0) == _document(tokens, 2)


def test_five_megabytes_on_one_line_are_tokenised_whole(byte_level, ranks):
    text = "blood pressure zebrafish 👩 " * 180_000
    for tokenizer in (byte_level, ranks):
        assert tokenizer.encode([text]).bytes_T.sum() == len(text.encode()) > 5_000_000


def test_tiktoken_file_gives_the_ranks_ids_and_lengths(ranks):
    ids, lengths = _document(ranks.encode(["the the"]), 0)
    assert (ids, lengths) == ([257, 258], [3, 4])
    assert ranks.vocab_size == 100277
    assert ranks.token_id("the") == 257
    assert ranks.token_id("absent") is None


def test_tiktoken_file_of_unknown_name_is_refused_with_the_known_names(tmp_path):
    path = tmp_path / "mine.tiktoken"
    path.write_bytes(b"YQ== 0\n")
    with pytest.raises(ValueError, match=r"'mine'.*cl100k_base.*o200k_base"):
        ByteTokenizer.load(path)


def test_broken_rank_line_is_named(tmp_path):
    path = tmp_path / "gpt2.tiktoken"
    path.write_bytes(b"YQ== 0\nYg==\n")
    with pytest.raises(ValueError, match="line 2: expected `base64 rank`"):
        ByteTokenizer.load(path)


def test_file_that_is_no_tokenizer_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("not json")
    with pytest.raises(ValueError, match=r"is no tokenizer\.json"):
        ByteTokenizer.load(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ByteTokenizer.load(tmp_path / "absent.json")


def test_truncation_and_padding_saved_in_the_file_are_ignored(folder, byte_level):
    tokenizer = Tokenizer.from_file(str(byte_level.path))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    same = _saved(tokenizer, folder / "truncating.json")
    assert same.encode(TRAINING).ids_T.tolist() == byte_level.encode(TRAINING).ids_T.tolist()


def test_byte_offsets_count_one_to_four_bytes_a_character():
    assert byte_offsets("aé日👩").tolist() == [0, 1, 3, 6, 10]
    assert byte_offsets("").tolist() == [0]


def test_sha256_names_the_file_and_vocab_size_counts_added_tokens(byte_level):
    assert byte_level.sha256 == hashlib.sha256(byte_level.path.read_bytes()).hexdigest()
    assert byte_level.vocab_size == 320


def test_tokenizer_threads_are_off_because_workers_are_forked():
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
