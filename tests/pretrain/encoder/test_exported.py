"""Exported shards as a source: the same ids without end-of-document tokens, and refusals that say why."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bundles import small_tokenizer
from tests.corpora import sentence
from tests.pretrain.conftest import write_corpus_in
from tokensieve.pretrain.encoder.config import SourceConfig
from tokensieve.pretrain.encoder.exported import exported_tokens, is_export
from tokensieve.pretrain.encoder.token_store import TokenStore
from tokensieve.pretrain.errors import DatasetError
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer

FIRST = [([1, 2, 3, 0], [1, 0, 0, 1]), ([0], [1])]
SECOND = [([7, 8, 0], [1, 1, 1])]


def _export(folder: Path, *shards: list) -> ByteTokenizer:
    """Shards made by a tokenizer of 300 tokens; end of document is 0, the hidden token 63."""
    folder.mkdir()
    write_corpus_in(folder, shards)
    tokenizer = ByteTokenizer.load(small_tokenizer(folder / "tokenizer.json", [sentence(1)], 300))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tokenizer"] |= {"sha256": tokenizer.sha256, "vocab_size": tokenizer.vocab_size}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return tokenizer


def _open(folder: Path, tokenizer: ByteTokenizer, **more: object) -> TokenStore:
    source = SourceConfig.model_validate({"name": "shards", "path": str(folder), "share": 1, **more})
    assert is_export(source)
    return exported_tokens(source, tokenizer, folder.parent / "cache")


def test_documents_of_all_shards_lose_their_end_and_empty_ones_are_counted(tmp_path: Path):
    store = _open(tmp_path / "export", _export(tmp_path / "export", FIRST, SECOND), license="CC0")
    assert store.length_D.tolist() == [3, 2]
    assert store.gather(np.array([1, 0]), np.array([0, 1]), np.array([2, 2])).tolist() == [7, 8, 2, 3]
    assert (store.record.documents, store.record.tokens, store.record.empty) == (2, 5, 1)
    assert store.record.licenses == {"CC0": 2}


def test_masked_tokens_are_read_like_all_others(tmp_path: Path):
    store = _open(tmp_path / "export", _export(tmp_path / "export", FIRST))
    assert store.gather(np.array([0]), np.array([0]), np.array([3])).tolist() == [1, 2, 3]


def test_content_hashes_do_not_depend_on_the_shard_and_are_computed_once(tmp_path: Path):
    stores = []
    for name, shards in (("one", [FIRST, SECOND]), ("other", [[*SECOND, *FIRST]])):
        tokenizer = _export(tmp_path / name, *shards)
        stores.append(_open(tmp_path / name, tokenizer))
    assert stores[0].hash_D.tolist() == stores[1].hash_D.tolist()[::-1]
    (cached, _) = sorted((tmp_path / "cache").iterdir())
    before = cached.stat().st_mtime_ns
    _open(tmp_path / "one", ByteTokenizer.load(tmp_path / "one" / "tokenizer.json"))
    assert cached.stat().st_mtime_ns == before


def test_shards_of_another_tokenizer_are_refused(tmp_path: Path):
    _export(tmp_path / "export", FIRST)
    other = ByteTokenizer.load(small_tokenizer(tmp_path / "other.json", [sentence(2)], 290))
    with pytest.raises(DatasetError, match=r"the encoder's tokenizer is .*other\.json"):
        _open(tmp_path / "export", other)


def test_shards_with_hidden_tokens_are_refused(tmp_path: Path):
    tokenizer = _export(tmp_path / "export", [([1, 63, 63, 0], [1, 0, 0, 1])])
    with pytest.raises(DatasetError, match=r"2 tokens of .* are hidden"):
        _open(tmp_path / "export", tokenizer)


def test_a_filter_on_shards_is_refused(tmp_path: Path):
    tokenizer = _export(tmp_path / "export", FIRST)
    with pytest.raises(DatasetError, match="shards have no columns"):
        _open(tmp_path / "export", tokenizer, where={"domain": ["law"]})
