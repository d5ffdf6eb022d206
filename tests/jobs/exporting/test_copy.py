"""A finished shard set on another file system: whole or not at all, replaced without a moment of neither."""

import hashlib
import os

import pytest

from tests.pretrain.conftest import write_corpus_in
from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.exporting.copy import copy_shards
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.verify import verify_shards

ONE = [([5, 6, 7, 0], [1, 0, 0, 1])]
TWO = [([9, 10, 0], [0, 1, 1])]


def corpus(folder, *shards, **options):
    folder.mkdir()
    return write_corpus_in(folder, shards, **options)


def files(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_holds_every_file_and_is_not_made_twice(tmp_path):
    source = corpus(tmp_path / "source", ONE, TWO)
    first = copy_shards(source, f"file://{tmp_path}/target/deep")
    assert files(tmp_path / "target/deep") == files(source)
    assert first["files"] == len(files(source)) == 12
    assert verify_shards(Manifest.load(tmp_path / "target/deep"), tmp_path / "target/deep") == []
    assert copy_shards(source, f"file://{tmp_path}/target/deep")["files"] == 0


def test_a_file_system_of_fsspec_takes_it_too(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    source = corpus(tmp_path / "source", ONE)
    copy_shards(source, "memory://corpora/one")
    found = {path.removeprefix("/corpora/one/") for path in fsspec.filesystem("memory").find("/corpora/one")}
    assert found == files(source)


def test_another_corpus_of_the_same_tokenizer_is_replaced_and_its_files_go_last(tmp_path):
    old, new = corpus(tmp_path / "old", ONE, TWO), corpus(tmp_path / "new", TWO)
    for path in sorted((tmp_path / "new").rglob("shard-00000*")):  # named by content in a real export
        os.rename(path, path.with_name(path.name.replace("shard-00000", "shard-new")))
    text = (new / "manifest.json").read_text().replace("shard-00000", "shard-new")
    (new / "manifest.json").write_text(text)
    copy_shards(old, f"file://{tmp_path}/target")
    replaced = copy_shards(new, f"file://{tmp_path}/target")
    assert replaced["files"] == 6, "five of the shard and the manifest; the tokenizer is there"
    assert files(tmp_path / "target") == files(new)
    assert verify_shards(Manifest.load(tmp_path / "target"), tmp_path / "target") == []


def test_a_damaged_file_stops_the_copy_and_the_old_corpus_stands(tmp_path):
    old, new = corpus(tmp_path / "old", ONE), corpus(tmp_path / "new", ONE, TWO)
    copy_shards(old, f"file://{tmp_path}/target")
    (new / "shard-00001.bin").write_bytes(b"\0" * (new / "shard-00001.bin").stat().st_size)
    with pytest.raises(InputError, match=r"shard-00001.bin: its bytes are not those of the manifest; export again"):
        copy_shards(new, f"file://{tmp_path}/target")
    assert Manifest.load(tmp_path / "target").id == Manifest.load(old).id
    assert verify_shards(Manifest.load(tmp_path / "target"), tmp_path / "target") == []


def test_a_corpus_of_another_tokenizer_and_an_unknown_manifest_are_not_replaced(tmp_path):
    old, new = corpus(tmp_path / "old", ONE), corpus(tmp_path / "new", ONE)
    copy_shards(old, f"file://{tmp_path}/target")
    before = hashlib.sha256((tmp_path / "target/manifest.json").read_bytes()).hexdigest()
    (new / "tokenizer.json").write_bytes(b"{ }")
    other = hashlib.sha256(b"{ }").hexdigest()
    manifest = Manifest.load(new)
    manifest.model_copy(update={"tokenizer": manifest.tokenizer.model_copy(update={"sha256": other})}).save(new)
    with pytest.raises(InputError, match=r"another tokenizer.json \(another tokenizer\?\), so it cannot be replaced"):
        copy_shards(new, f"file://{tmp_path}/target")
    assert hashlib.sha256((tmp_path / "target/manifest.json").read_bytes()).hexdigest() == before
    (tmp_path / "target/manifest.json").write_text('{"version": 3}')
    with pytest.raises(InputError, match="cannot be read"):
        copy_shards(new, f"file://{tmp_path}/target")


def test_a_target_that_is_no_uri_of_a_known_file_system_or_cannot_be_written_is_refused(tmp_path):
    source = corpus(tmp_path / "source", ONE)
    with pytest.raises(ConfigError, match="is no URI"):
        copy_shards(source, str(tmp_path))
    with pytest.raises(ConfigError, match="no file system of fsspec here has it"):
        copy_shards(source, "nonsense://bucket/place")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Not a directory"):
        copy_shards(source, f"file://{tmp_path}/file/below")
