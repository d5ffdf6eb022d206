"""`verify` finds a truncated, a swapped and a bit-flipped file of any kind, and names the shard that is wrong."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.verify import verify_shards

FILES = [".bin", ".idx", "_mask.bin", "_mask.idx", "_score.bin", "_score.idx"]
ONE = [([5, 6, 7, 0], [1, 0, 0, 1], [10, 200, 255, 0]), ([8, 0], [1, 1], [3, 0])]
# As long as ONE, with other ids, mask, scores and lengths.
TWO = [([9, 0], [0, 1], [128, 0]), ([5, 6, 9, 0], [0, 1, 1, 1], [130, 1, 2, 0])]


def kinds(folder) -> list[tuple[str, str]]:
    return [(problem.where, problem.kind) for problem in verify_shards(Manifest.load(folder), folder)]


@pytest.fixture
def corpus(write_corpus):
    folder = write_corpus(ONE, TWO)
    assert kinds(folder) == []
    assert Manifest.load(folder).shards[0].score_counts is not None
    return folder


@pytest.mark.parametrize("suffix", FILES)
def test_a_truncated_file_is_found(corpus, suffix):
    path = corpus / f"shard-00001{suffix}"
    path.write_bytes(path.read_bytes()[:-1])
    assert kinds(corpus) == [("shard-00001", "sha256 differs"), ("shard-00001", "corrupt")]


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("at", [0, -1])
def test_a_flipped_bit_is_found_wherever_it_is(corpus, suffix, at):
    path = corpus / f"shard-00000{suffix}"
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert kinds(corpus)[0] == ("shard-00000", "sha256 differs")
    assert {where for where, _ in kinds(corpus)} == {"shard-00000"}


@pytest.mark.parametrize("suffix", FILES)
def test_two_files_that_changed_places_are_found_in_both_shards(corpus, suffix):
    first, second = corpus / f"shard-00000{suffix}", corpus / f"shard-00001{suffix}"
    os.rename(first, corpus / "aside")
    os.rename(second, first)
    os.rename(corpus / "aside", second)
    found = [where for where, kind in kinds(corpus) if kind == "sha256 differs"]
    assert found == ["shard-00000", "shard-00001"]


def test_the_scores_in_the_place_of_the_mask_are_found(corpus):
    mask, scores = corpus / "shard-00000_mask.bin", corpus / "shard-00000_score.bin"
    one, two = mask.read_bytes(), scores.read_bytes()
    mask.write_bytes(two)
    scores.write_bytes(one)
    assert {("shard-00000", "sha256 differs"), ("shard-00000", "counts differ")} == set(kinds(corpus))


def test_counts_of_scores_that_are_not_those_on_disk_are_named_by_level(corpus):
    content = json.loads((corpus / "manifest.json").read_text())
    counts = content["shards"][0]["score_counts"]
    counts[10], counts[11] = 0, 1
    (corpus / "manifest.json").write_text(json.dumps(content))
    (problem,) = verify_shards(Manifest.load(corpus), corpus)
    assert str(problem) == "shard-00000: counts differ: 1 tokens of score 10 on disk, 0 in the manifest"


def indexed(folder, *doc_ids: list[str]):
    """Gives the shards document indices that the manifest vouches for."""
    content = json.loads((folder / "manifest.json").read_text())
    for shard, ids in zip(content["shards"], doc_ids):
        pq.write_table(pa.table({"doc_id": pa.array(ids, pa.string())}), folder / shard["docs"])
        shard["sha256"]["docs"] = file_sha256(folder / shard["docs"])
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


def test_a_document_that_is_trained_on_and_held_out_is_found(write_corpus):
    folder = indexed(write_corpus(ONE, TWO, splits=["train", "valid"]), ["a", "b"], ["c", "b"])
    (problem,) = verify_shards(Manifest.load(folder), folder)
    assert str(problem) == ("shard-00000: document in two splits: 1 documents are in valid or test too, the first is b")


def test_an_index_of_other_documents_or_that_is_no_parquet_is_found(write_corpus):
    folder = indexed(write_corpus(ONE, TWO, splits=["train", "valid"]), ["a"], ["c", "d"])
    assert kinds(folder) == [("shard-00000", "counts differ")]
    (folder / "docs" / "shard-00001.parquet").write_bytes(b"nothing")
    assert kinds(folder) == [
        ("shard-00001", "sha256 differs"),
        ("shard-00000", "counts differ"),
        ("shard-00001", "corrupt"),
    ]
