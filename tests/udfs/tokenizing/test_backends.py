"""Every back end makes the reference's tokens, whatever the text, and a fast one that would not is not used."""

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bundles import small_tokenizer
from tokensieve.udfs.tokenizing.probe import difference
from tokensieve.udfs.tokenizing.texts import BackendUnfit, Texts
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

pytest.importorskip("gigatoken", reason="the fast back end needs tokensieve[fast]")
FAST = ("gigatoken", "tiktoken")
TEXTS = ["the patient took aspirin for a headache"] * 4 + ["Zebrafish embryos, naïve 日本語 text 👩‍👩‍👧‍👦"] * 4
HARD = {
    "a megabyte of one letter": "a" * 1_000_000,
    "half a megabyte of spaces": " " * 500_000 + "x",
    "one long line of emoji": "👩‍👩‍👧‍👦🏳️‍🌈" * 20_000,
    "combining marks": "z" + "\u0301\u0489" * 50_000,
    "mixed scripts without spaces": "abcабвγδε日本語한국어ไทย١٢٣" * 5_000,
    "special look-alikes": "<|endoftext|>a <|hidden|><|endoftext|>\n<|endoftext|>" * 1_000,
    "control characters": "\x00\x01\r\n\x85\u2028" * 10_000,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    special = ("<|endoftext|>", "<|hidden|>")
    return small_tokenizer(tmp_path_factory.mktemp("small") / "tokenizer.json", TEXTS, 400, special)


@pytest.fixture(scope="module")
def gpt2(shared_data) -> dict[str, ByteTokenizer]:
    """GPT-2's tokenizer through each back end."""
    folder = shared_data / "tokenizer"
    return {name: ByteTokenizer.load(folder, name) for name in (*FAST, "tokenizers")}  # type: ignore[arg-type]


def same(one: Tokenized, other: Tokenized) -> bool:
    names = ("ids_T", "bytes_T", "bounds_D1")
    return one.failed == other.failed and all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


@pytest.mark.parametrize("name", HARD)
def test_hard_texts_have_the_same_ids_and_lengths_in_every_back_end(gpt2, name):
    texts = ["before", HARD[name], "", "after"]
    expected = gpt2["tokenizers"].encode(texts)
    assert expected.bytes_T.sum() == sum(len(text.encode()) for text in texts)
    for fast in FAST:
        assert same(gpt2[fast].encode(texts), expected), fast


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text(max_size=60), max_size=6))
def test_any_text_has_the_same_ids_and_lengths_in_every_back_end(gpt2, texts):
    expected = gpt2["tokenizers"].encode(texts)
    for fast in FAST:
        assert same(gpt2[fast].encode(texts), expected), fast


def test_documents_of_the_corpus_have_the_same_ids_and_lengths_in_every_back_end(gpt2, shared_data):
    table = pq.read_table(shared_data / "corpus" / "heldout-00000-of-00001.parquet", columns=["text", "token_count"])
    table = table.slice(0, 120)
    expected = gpt2["tokenizers"].encode(table.column("text").combine_chunks())
    assert np.diff(expected.bounds_D1).tolist() == table.column("token_count").to_pylist()
    for fast in FAST:
        assert same(gpt2[fast].encode(table.column("text").combine_chunks()), expected), fast


@pytest.mark.slow
def test_the_whole_corpus_has_the_same_ids_and_lengths_in_every_back_end(gpt2, shared_data):
    files = sorted((shared_data / "corpus").glob("*-of-*.parquet"))
    assert len(files) == 13
    for file in files:
        text = pq.read_table(file, columns=["text"]).column("text").combine_chunks()
        expected = gpt2["tokenizers"].encode(text)
        for fast in FAST:
            assert same(gpt2[fast].encode(text), expected), (file.name, fast)


def test_special_look_alikes_stay_text_in_every_back_end(gpt2, small):
    for name in (*FAST, "tokenizers"):
        for tokenizer in (gpt2[name], ByteTokenizer.load(small, name)):
            ids = tokenizer.encode(["a<|endoftext|>b <|endoftext|>"]).ids_T.tolist()
            assert tokenizer.token_id("<|endoftext|>") not in ids
            assert tokenizer.decode(ids) == "a<|endoftext|>b <|endoftext|>"


@pytest.mark.parametrize("name", [*FAST, "tokenizers"])
def test_a_lone_surrogate_is_failed_and_leaves_its_neighbours_alone(gpt2, name):
    tokens = gpt2[name].encode(["fine", "ab\ud800", "", "fine"])
    assert "lone surrogate at character 2" in tokens.failed[1]
    assert tokens.bounds_D1.tolist() == [0, 1, 1, 1, 2]
    assert gpt2[name].encode([]).bounds_D1.tolist() == [0]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_slice_of_an_arrow_column_is_the_same_as_a_list_of_strings(gpt2, kind):
    column = pa.array(["skipped", "naïve", "", "日本", "skipped too"], kind).slice(1, 3)
    for tokenizer in gpt2.values():
        assert same(tokenizer.encode(column), tokenizer.encode(["naïve", "", "日本"]))
    with pytest.raises(ValueError, match="1 of 2 texts are null"):
        gpt2["gigatoken"].encode(pa.array(["x", None], kind))


def test_auto_takes_the_fastest_and_says_why_a_faster_one_was_passed_over(small, tmp_path):
    assert ByteTokenizer.load(small).backend == "tokenizers"
    best = ByteTokenizer.load(small, "auto")
    assert (best.backend, best.passed_over) == ("gigatoken", {})
    spec = json.loads(small.read_text())
    spec["normalizer"] = {"type": "NFC"}
    (tmp_path / "nfc.json").write_text(json.dumps(spec))
    slow = ByteTokenizer.load(tmp_path / "nfc.json", "auto")
    assert slow.backend == "tokenizers"
    assert slow.passed_over == {
        "gigatoken": "not plain byte-level BPE: byte lengths do not follow from the ids",
        "tiktoken": "not a plain byte-level tokenizer.json",
    }
    with pytest.raises(BackendUnfit, match="not plain byte-level BPE"):
        ByteTokenizer.load(tmp_path / "nfc.json", "gigatoken")


def test_a_tokenizer_whose_merges_tiktoken_cannot_order_is_left_to_the_others(small, tmp_path):
    spec = json.loads(small.read_text())
    spec["model"]["merges"] = spec["model"]["merges"][::-1]
    (tmp_path / "reversed.json").write_text(json.dumps(spec))
    with pytest.raises(BackendUnfit, match="ids do not rise in the order of its merges"):
        ByteTokenizer.load(tmp_path / "reversed.json", "tiktoken")


def test_a_back_end_that_makes_other_tokens_is_found_out_with_the_place(small, tmp_path):
    spec = json.loads(small.read_text())
    spec["model"]["merges"] = []
    (tmp_path / "bytes.json").write_text(json.dumps(spec))
    reference, other = ByteTokenizer.load(small)._backend, ByteTokenizer.load(tmp_path / "bytes.json")._backend
    assert difference(reference, other, Texts(["a b c"])) is None
    found = difference(reference, other, Texts(["a b c", "x y z the patient"]))
    patient = ByteTokenizer.load(small).encode([" patient"]).ids_T.tolist()
    assert len(patient) == 1
    assert found is not None
    assert found.startswith("text 1, near 'x y z the patient': ids [")
    assert "from token 5 on" in found


def test_an_unknown_rank_file_has_no_gigatoken_and_a_rank_file_no_tokenizers(tmp_path):
    import base64

    ranks = [base64.b64encode(bytes([byte])) + b" %d" % byte for byte in range(256)]
    (tmp_path / "p50k_base.tiktoken").write_bytes(b"\n".join(ranks))
    tokenizer = ByteTokenizer.load(tmp_path / "p50k_base.tiktoken", "auto")
    assert tokenizer.backend == "tiktoken"
    assert "gigatoken knows no rank file 'p50k_base'" in tokenizer.passed_over["gigatoken"]
    with pytest.raises(BackendUnfit, match="tokenizers cannot read a rank file"):
        ByteTokenizer.load(tmp_path / "p50k_base.tiktoken", "tokenizers")
    (tmp_path / "r50k_base.tiktoken").write_bytes(b"\n".join(ranks))
    assert ByteTokenizer.load(tmp_path / "r50k_base.tiktoken", "auto").backend == "gigatoken"


def test_gigatoken_is_made_anew_before_what_it_remembers_fills_the_memory(small, monkeypatch):
    from tokensieve.udfs.tokenizing import gigatoken_bpe

    monkeypatch.setattr(gigatoken_bpe, "FRESH_AFTER", 100)
    tokenizer = ByteTokenizer.load(small, "gigatoken")
    backend = tokenizer._backend
    assert isinstance(backend, gigatoken_bpe.GigatokenBpe)
    expected, seen = ByteTokenizer.load(small).encode(TEXTS), set()
    for _ in range(4):
        assert same(tokenizer.encode(TEXTS), expected)
        seen.add(backend._tokenizer)
    assert len(seen) == 4


def _threads_after_encoding(tokenizer: ByteTokenizer, queue) -> None:
    before = len(os.listdir("/proc/self/task"))
    tokens = tokenizer.encode(TEXTS * 500)
    queue.put((len(tokens.ids_T), len(os.listdir("/proc/self/task")) - before))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted where /proc is")
def test_a_forked_worker_encodes_on_its_one_thread_after_the_parent_did(small):
    tokenizer = ByteTokenizer.load(small, "gigatoken")
    expected = len(tokenizer.encode(TEXTS * 500).ids_T)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=_threads_after_encoding, args=(tokenizer, queue))
    worker.start()
    found, new_threads = queue.get(timeout=60)
    worker.join(60)
    assert (found, new_threads, worker.exitcode) == (expected, 0, 0)
