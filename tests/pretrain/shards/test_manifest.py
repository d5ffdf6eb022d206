"""The manifest: its identity, what it refuses, and that `verify` names every kind of damage."""

import hashlib
import json
import os
import re

import numpy as np
import pytest
from pydantic import ValidationError

from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.shard import ShardWriter
from tokensieve.pretrain.shards.verify import verify_shards

FIRST = [([5, 6, 7, 0], [1, 0, 0, 1]), ([8, 0], [1, 1])]
SECOND = [([9, 10, 0], [0, 1, 1])]


def kinds(folder) -> list[tuple[str, str]]:
    return [(problem.where, problem.kind) for problem in verify_shards(Manifest.load(folder), folder)]


def change(folder, edit) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_saved_manifest_is_loaded_back_and_an_intact_corpus_has_no_problems(write_corpus):
    folder = write_corpus(FIRST, SECOND)
    manifest = Manifest.load(folder)
    assert (manifest.documents, manifest.tokens, manifest.loss_tokens) == (3, 9, 6)
    assert [shard.prefix for shard in manifest.shards] == ["shard-00000", "shard-00001"]
    assert verify_shards(manifest, folder) == []
    assert sorted(os.listdir(folder))[:2] == ["docs", "manifest.json"]  # no temporary file is left


def test_id_follows_the_content_and_not_the_place(write_corpus):
    here = Manifest.load(write_corpus(FIRST, name="here"))
    there = Manifest.load(write_corpus(FIRST, name="there"))
    other = Manifest.load(write_corpus(SECOND, name="other"))
    assert re.fullmatch("[0-9a-f]{16}", here.id)
    assert here.id == there.id != other.id


def test_missing_manifest_says_which_command_comes_first(tmp_path):
    with pytest.raises(ManifestError, match="run `tokensieve export` first"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(tokens=10), "tokens is 10 but the shards sum to 9"),
        (lambda c: c.update(loss_tokens=5), "loss_tokens is 5 but the shards sum to 6"),
        (lambda c: c.update(format="tokensieve-shards/2"), "tokensieve-shards/1"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c["shards"][0]["sha256"].pop(".idx"), r"wrong: \['.idx'\]"),
        (lambda c: c["shards"][0].update(prefix="../shard-00000"), "not a plain path"),
        (lambda c: c["shards"][0].update(prefix="/etc/shard"), "not a plain path"),
        (lambda c: c["shards"][1].update(docs="docs/../../x"), "not a plain path"),
        (lambda c: c["tokenizer"].update(file="/etc/passwd"), "not a plain path"),
        (lambda c: c["shards"][1].update(prefix="shard-00000"), "listed more than once"),
    ],
)
def test_manifest_that_does_not_add_up_is_refused(write_corpus, edit, message):
    folder = write_corpus(FIRST, SECOND)
    change(folder, edit)
    with pytest.raises(ManifestError, match=message):
        Manifest.load(folder)


@pytest.mark.parametrize("name", ["shard-00000.bin", "shard-00000_mask.bin", "docs", "tokenizer.json"])
def test_symbolic_link_out_of_the_folder_is_refused(write_corpus, tmp_path, name):
    folder = write_corpus(FIRST)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ManifestError, match="leads out of"):
        Manifest.load(folder)


def test_manifest_cannot_be_changed_after_it_was_read(write_corpus):
    manifest = Manifest.load(write_corpus(FIRST))
    with pytest.raises(ValidationError, match="frozen"):
        manifest.tokens = 1


@pytest.mark.parametrize("name", ["shard-00001_mask.bin", "shard-00001.idx", "docs/shard-00001.parquet"])
def test_verify_names_a_missing_file(write_corpus, name):
    folder = write_corpus(FIRST, SECOND)
    (folder / name).unlink()
    assert kinds(folder)[0] == ("shard-00001", "missing file")
    assert name in verify_shards(Manifest.load(folder), folder)[0].detail


def test_verify_names_a_flipped_bit_in_the_mask(write_corpus):
    folder = write_corpus(FIRST, SECOND)
    (folder / "shard-00000_mask.bin").write_bytes(bytes([1, 1, 0, 1, 1, 1]))
    assert kinds(folder) == [("shard-00000", "sha256 differs"), ("shard-00000", "counts differ")]
    assert "5 loss_tokens on disk, 4 in the manifest" in verify_shards(Manifest.load(folder), folder)[1].detail


def test_verify_names_a_truncated_mask(write_corpus):
    folder = write_corpus(FIRST, SECOND)
    (folder / "shard-00000_mask.bin").write_bytes(bytes([1, 0, 0, 1, 1]))
    assert kinds(folder) == [("shard-00000", "sha256 differs"), ("shard-00000", "corrupt")]


def test_verify_names_both_shards_whose_masks_were_swapped(write_corpus):
    folder = write_corpus(FIRST, [(ids, [1] * len(mask)) for ids, mask in FIRST])
    first, second = folder / "shard-00000_mask.bin", folder / "shard-00001_mask.bin"
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert [k for k in kinds(folder) if k[1] == "sha256 differs"] == [
        ("shard-00000", "sha256 differs"),
        ("shard-00001", "sha256 differs"),
    ]


def test_verify_names_ids_that_the_model_has_no_row_for_and_a_missing_eod(write_corpus):
    folder = write_corpus([([5, 64, 0], [1, 1, 1]), ([8, 9], [1, 1])])
    problems = verify_shards(Manifest.load(folder), folder)
    assert [(p.kind, p.detail) for p in problems] == [
        ("id out of vocabulary", "ids span 0..64, the padded vocabulary is 64"),
        ("no eod at document end", "1 documents, the first is 1; eod is 0"),
    ]


def test_verify_names_a_changed_tokenizer(write_corpus):
    folder = write_corpus(FIRST)
    (folder / "tokenizer.json").write_bytes(b"[]")
    assert kinds(folder) == [("tokenizer.json", "sha256 differs")]


def test_verify_names_a_shard_that_was_written_again_with_other_documents(write_corpus):
    folder = write_corpus(FIRST)
    with ShardWriter(folder / "shard-00000", np.dtype(np.uint16)) as writer:
        writer.add(np.array([5, 0]), np.array([1, 1]), np.array([2]))
    assert set(kinds(folder)) == {("shard-00000", "sha256 differs"), ("shard-00000", "counts differ")}


def test_a_manifest_of_before_there_were_groups_keeps_its_id_and_its_file(write_corpus):
    folder = write_corpus(FIRST, SECOND)
    content = json.loads((folder / "manifest.json").read_text())
    assert "groups" not in content
    assert "group" not in content["shards"][0]
    assert "settings" not in content["inputs"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert Manifest.load(folder).id == hashlib.sha256(text.encode()).hexdigest()[:16]
    for shard in content["shards"]:
        shard["sha256"] = dict.fromkeys((".bin", ".idx", "_mask.bin", "_mask.idx"), "0")
    assert Manifest.model_validate(content).id == "747b36b86c3a196c"


def test_a_kept_manifest_is_read_by_its_id_when_another_is_the_newest(write_corpus):
    folder, newer = write_corpus(FIRST), write_corpus(SECOND, name="newer")
    old, new = Manifest.load(folder), Manifest.load(newer)
    old.keep(folder)
    new.save(folder)
    assert Manifest.load(folder).id == new.id == Manifest.load(folder, new.id).id
    assert Manifest.load(folder, old.id) == old


def test_a_manifest_that_is_no_longer_kept_or_was_changed_is_refused_with_both_ids(write_corpus):
    folder = write_corpus(FIRST)
    manifest = Manifest.load(folder)
    with pytest.raises(
        ManifestError, match=f"manifest 0123456789abcdef is no longer kept, the newest is {manifest.id}"
    ):
        Manifest.load(folder, "0123456789abcdef")
    with pytest.raises(ManifestError, match="no manifest's id: 16 hex digits"):
        Manifest.load(folder, "../../etc/passwd")
    path = manifest.keep(folder)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ManifestError, match=r"holds the manifest [0-9a-f]{16}; it was changed"):
        Manifest.load(folder, manifest.id)
