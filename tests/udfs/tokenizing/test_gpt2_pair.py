"""GPT-2's two files make one tokenizer.json that is read again."""

import json

import pytest

from tokensieve.udfs.tokenizing.byte_level import byte_alphabet
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


@pytest.fixture
def pair(tmp_path):
    """A vocabulary of the bytes, two merges and one special token, as GPT-2 writes it."""
    literals = [*byte_alphabet(), "th", "the", "<|endoftext|>"]
    (tmp_path / "encoder.json").write_text(json.dumps({literal: at for at, literal in enumerate(literals)}))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\nt h\nth e\n", encoding="utf-8")
    return tmp_path


def test_the_pair_is_read_by_its_folder_or_by_its_vocabulary_and_its_copy_is_the_same_tokenizer(pair, tmp_path):
    tokenizer = ByteTokenizer.load(pair)
    assert tokenizer.encode(["thethin"]).ids_T.tolist() == [257, 256, ord("i") - ord("!"), ord("n") - ord("!")]
    assert tokenizer.decode(tokenizer.encode(["the thin <|endoftext|>"]).ids_T.tolist()) == "the thin <|endoftext|>"
    assert (tokenizer.vocab_size, tokenizer.token_id("<|endoftext|>"), tokenizer.token_id("the")) == (259, 258, 257)
    assert 258 not in tokenizer.encode(["the<|endoftext|>"]).ids_T.tolist()
    assert ByteTokenizer.load(pair / "encoder.json").sha256 == tokenizer.sha256
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / tokenizer.file_name).write_bytes(tokenizer.data)
    copy = ByteTokenizer.load(tmp_path / "copy" / "tokenizer.json")
    assert copy.sha256 == tokenizer.sha256
    assert copy.encode(["the thin"]).ids_T.tolist() == tokenizer.encode(["the thin"]).ids_T.tolist()


def test_gpt2s_own_files_give_gpt2s_ids(shared_data):
    tokenizer = ByteTokenizer.load(shared_data / "tokenizer")
    assert (tokenizer.vocab_size, tokenizer.token_id("<|endoftext|>")) == (50257, 50256)
    # The ids that OpenAI's encoder gives, as every text on GPT-2 shows them.
    assert tokenizer.encode(["Hello world"]).ids_T.tolist() == [15496, 995]
    assert [token["content"] for token in json.loads(tokenizer.data)["added_tokens"]] == ["<|endoftext|>"]


def test_a_pair_of_which_one_is_missing_or_of_another_tokenizer_is_refused(pair):
    (pair / "vocab.bpe").write_text("#version: 0.2\nt h\nh e\n")
    with pytest.raises(ValueError, match=r"no id for 1 tokens that vocab.bpe makes, the first 'he'"):
        ByteTokenizer.load(pair)
    (pair / "vocab.bpe").write_text("#version: 0.2\nt h e\n")
    with pytest.raises(ValueError, match="merge 1 is 't h e', not two tokens"):
        ByteTokenizer.load(pair)
    (pair / "vocab.bpe").unlink()
    with pytest.raises(ValueError, match=r"the merges vocab.bpe are not beside it"):
        ByteTokenizer.load(pair)
    (pair / "encoder.json").write_text("[1]")
    (pair / "vocab.bpe").write_text("")
    with pytest.raises(ValueError, match="one JSON object of token to id"):
        ByteTokenizer.load(pair)


def test_a_folder_without_a_tokenizer_says_what_it_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has none of tokenizer.json, encoder.json, vocab.json"):
        ByteTokenizer.load(tmp_path)
