"""A rank file and the tokenizer.json made of it give the same ids, or there is no tokenizer.json."""

import base64
import json
from pathlib import Path

import pytest

from tokensieve.pretrain.convert.convert import tokenizer_files
from tokensieve.pretrain.convert.tiktoken_json import merges_of, tiktoken_json
from tokensieve.pretrain.errors import ConvertError
from tokensieve.pretrain.shards.shard_info import TokenizerInfo
from tokensieve.udfs.tokenizing.byte_level import byte_alphabet
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

TEXT = "it's 1234567 days; THE theatre's\r\n\n  naïve — 你好 <|endoftext|> 👍🏽"
MERGED = (b"th", b"he", b"the", b" the", b"12", b"34", b"123", b"'s", b"\xe2\x80", b"at", b"\n\n")


def rank_file(path: Path, tokens: list[bytes]) -> Path:
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens)))
    return path


@pytest.fixture
def ranks(tmp_path) -> Path:
    """A small vocabulary under the name, so with the splitting pattern and special tokens, of cl100k."""
    return rank_file(tmp_path / "cl100k_base.tiktoken", [bytes([byte]) for byte in range(256)] + list(MERGED))


def ids(path: Path, text: str = TEXT) -> list[int]:
    return ByteTokenizer.load(path).encode([text]).ids_T.tolist()


def test_ids_are_those_of_the_rank_file_and_special_tokens_keep_theirs(ranks, tmp_path):
    made = tmp_path / "tokenizer.json"
    made.write_bytes(tiktoken_json(ranks))
    assert ids(made) == ids(ranks)
    assert ids(made, " the123") == [259, 262]
    assert [ByteTokenizer.load(made).token_id(f"<|{name}|>") for name in ("endoftext", "endofprompt")] == [
        100257,
        100276,
    ]


def test_a_token_is_merged_from_the_parts_that_lower_ranks_leave():
    ranks = {bytes([byte]): byte for byte in range(256)} | {token: 256 + at for at, token in enumerate(MERGED)}
    assert merges_of(ranks)[:4] == [(b"t", b"h"), (b"h", b"e"), (b"th", b"e"), (b" ", b"the")]


def test_a_model_folder_gets_a_tokenizer_whose_end_of_text_is_the_runs(ranks, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    info = TokenizerInfo(
        file=ranks.name, sha256="", vocab_size=100277, eod=100257, hidden_id=100277, padded_vocab_size=100352
    )
    for name, data in tokenizer_files(ranks, info, 128).items():
        (tmp_path / name).write_bytes(data)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|endoftext|>", 100257)
    assert tokenizer(TEXT, split_special_tokens=True)["input_ids"] == ids(ranks)
    with pytest.raises(ConvertError, match="has no token 300, the run's end of text"):
        tokenizer_files(ranks, info.model_copy(update={"eod": 300}), 128)


def test_gpt2s_ranks_make_gpt2s_ids(shared_data, tmp_path):
    folder = shared_data / "tokenizer"
    byte = byte_alphabet()
    vocab = json.loads((folder / "encoder.json").read_text())
    tokens = sorted((rank, literal) for literal, rank in vocab.items() if literal != "<|endoftext|>")
    path = rank_file(tmp_path / "gpt2.tiktoken", [bytes(byte[char] for char in literal) for _, literal in tokens])
    made = tmp_path / "tokenizer.json"
    made.write_bytes(tiktoken_json(path))
    merges = [" ".join(merge) for merge in json.loads(made.read_text())["model"]["merges"]]
    assert merges == (folder / "vocab.bpe").read_text().split("\n")[1:-1]
    assert ids(made) == ids(path) == ids(folder / "encoder.json")


def test_a_file_of_neither_kind_is_refused(tmp_path):
    info = TokenizerInfo(file="x", sha256="", vocab_size=2, eod=0, hidden_id=1, padded_vocab_size=2)
    (tmp_path / "mine.tiktoken").write_bytes(b"YQ== 0\n")
    with pytest.raises(ConvertError, match="no splitting pattern is known for 'mine'"):
        tokenizer_files(tmp_path / "mine.tiktoken", info, 16)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConvertError, match=r"tokenizer.json is no tokenizer.json \(KeyError\('model'\)\)"):
        tokenizer_files(tmp_path / "tokenizer.json", info, 16)
