"""A cache is reused while nothing changed, made anew when anything did, and refused when it is damaged."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bundles import small_tokenizer
from tests.corpora import sentence
from tests.pretrain.encoder.made import write_texts
from tokensieve.pretrain.encoder.config import SourceConfig
from tokensieve.pretrain.encoder.token_cache import CacheError, cached_tokens
from tokensieve.pretrain.encoder.token_store import TokenStore
from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.shards.megatron_index import CorruptShardError
from tokensieve.pretrain.shards.shard import ShardWriter
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

TEXTS = [sentence(n, 5 + n) for n in range(12)]


def _cached(folder: Path, size: int = 300, **more: object) -> TokenStore:
    """The store of `part.parquet`; equal sizes give equal tokenizers."""
    tokenizer = folder / f"tokenizer-{size}.json"
    if not tokenizer.exists():
        small_tokenizer(tokenizer, TEXTS, size)
    source = SourceConfig.model_validate({"name": "made", "path": str(folder / "part.parquet"), "share": 1, **more})
    return cached_tokens(source, ByteTokenizer.load(tokenizer), folder / "cache", report=lambda line: None)


def _caches(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cache").iterdir()}


def test_a_store_gives_back_the_tokens_of_its_texts(tmp_path: Path):
    write_texts(tmp_path, ["!", "", *TEXTS])  # "!" is id 0, which a padding id of 0 would delete
    store = _cached(tmp_path)
    tokens = ByteTokenizer.load(tmp_path / "tokenizer-300.json").encode(["!", *TEXTS])
    assert store.gather(np.array([0]), np.array([0]), np.array([1])).tolist() == [0]
    everything = store.gather(np.arange(13), np.zeros(13, np.int64), store.length_D)
    assert everything.dtype == np.int64
    assert everything.tolist() == tokens.ids_T.tolist()
    assert (store.record.documents, store.record.empty, store.record.tokens) == (13, 1, len(tokens.ids_T))
    assert store.record.licenses == {"not stated": 13}


def test_an_unchanged_source_is_not_tokenised_again(tmp_path: Path):
    part = write_texts(tmp_path, TEXTS)
    _cached(tmp_path)
    (folder,) = (tmp_path / "cache").iterdir()
    before = (folder / "tokens.bin").stat().st_mtime_ns
    part.touch()
    part.rename(tmp_path / "renamed.parquet")
    _cached(tmp_path, path=str(tmp_path / "renamed.parquet"), share=0.5, name="other")
    assert _caches(tmp_path) == {folder.name}
    assert (folder / "tokens.bin").stat().st_mtime_ns == before


def test_a_changed_file_filter_or_tokenizer_makes_a_new_cache(tmp_path: Path):
    write_texts(tmp_path, TEXTS)
    first = _cached(tmp_path)
    write_texts(tmp_path, [*TEXTS[:-1], "another"])
    second = _cached(tmp_path)
    third = _cached(tmp_path, unless={"id": ["d3"]})
    fourth = _cached(tmp_path, size=280)
    assert len({store.record.id for store in (first, second, third, fourth)}) == 4
    assert len(_caches(tmp_path)) == 4
    assert (third.record.documents, third.record.filtered) == (11, 1)


def test_a_large_vocabulary_is_stored_in_32_bits(tmp_path: Path):
    write_texts(tmp_path, TEXTS)
    spec = json.loads(small_tokenizer(tmp_path / "tokenizer-300.json", TEXTS, 300).read_text())
    last = max(spec["model"]["vocab"].items(), key=lambda item: item[1])[0]
    spec["model"]["vocab"][last] = 99_999
    (tmp_path / "tokenizer-300.json").write_text(json.dumps(spec))
    store = _cached(tmp_path)
    assert store.readers[0].dtype == np.int32
    everything = store.gather(np.arange(12), np.zeros(12, np.int64), store.length_D)
    assert everything.max() == 99_999


def test_tokens_of_another_dtype_or_tokenizer_are_refused(tmp_path: Path):
    """Released code read uint16 with one tokenizer where uint32 of another had been written."""
    write_texts(tmp_path, TEXTS)
    store = _cached(tmp_path)
    (folder,) = (tmp_path / "cache").iterdir()
    wide_T = store.readers[0].ids_T.astype(np.int32)
    with ShardWriter(folder / "tokens", np.dtype(np.int32)) as writer:
        writer.add(wide_T, np.ones(store.tokens, np.uint8), store.length_D)
        writer.close()
    with pytest.raises(CacheError, match=r"delete this folder"):
        _cached(tmp_path)


@pytest.mark.parametrize("file", ["tokens.bin", "tokens.idx", "hashes.npy", "source.json"])
def test_a_truncated_cache_is_refused(tmp_path: Path, file: str):
    write_texts(tmp_path, TEXTS)
    _cached(tmp_path)
    (folder,) = (tmp_path / "cache").iterdir()
    (folder / file).write_bytes((folder / file).read_bytes()[:-3])
    with pytest.raises((CacheError, CorruptShardError), match=folder.name):
        _cached(tmp_path)


def test_an_id_outside_the_vocabulary_is_an_error_that_names_the_documents(tmp_path: Path):
    write_texts(tmp_path, TEXTS)
    store = _cached(tmp_path)
    (folder,) = (tmp_path / "cache").iterdir()
    changed = np.fromfile(folder / "tokens.bin", "<u2")
    changed[0] = 60_000
    changed.tofile(folder / "tokens.bin")
    with pytest.raises(DatasetError, match=r"to 60000 in documents \[0\], but the tokenizer has 300"):
        store.gather(np.array([0]), np.array([0]), np.array([1]))


def test_a_source_of_which_nothing_is_left_is_an_error_and_leaves_no_cache(tmp_path: Path):
    write_texts(tmp_path, TEXTS)
    with pytest.raises(DatasetError, match="no document is left"):
        _cached(tmp_path, where={"id": ["no such"]})
    assert _caches(tmp_path) == set()
