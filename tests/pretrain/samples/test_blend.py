"""Shard sets drawn by weight: realised shares, passes, and the way back to a document."""

from collections import Counter

import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.samples.locate import pieces_of_document, pieces_of_sample
from tokensieve.pretrain.samples.training_samples import build_datasets
from tokensieve.pretrain.shards.blend import Blend, BlendSource
from tokensieve.pretrain.shards.manifest import Manifest

CLEAN = [([*[1 + row % 20] * 15, 0], [1] * 16) for row in range(200)]  # 3,200 tokens
TOXIC = [([*[31 + row % 20] * 15, 0], [0] * 15 + [1]) for row in range(60)]  # 960 tokens


def write_blend(write_corpus, tmp_path, share: float, epochs: float = 1.0):
    clean = write_corpus(CLEAN[:100], CLEAN[100:], name="clean")
    toxic = write_corpus(TOXIC, name="toxic")
    tokens = round(3200 / (1 - share))
    sources = [
        BlendSource(name="clean", shards="../clean", manifest_id=Manifest.load(clean).id, weight=1 - share, epochs=1.0),
        BlendSource(
            name="toxic",
            shards="../toxic",
            manifest_id=Manifest.load(toxic).id,
            weight=share,
            epochs=tokens * share / 960,
        ),
    ]
    folder = tmp_path / "blend"
    folder.mkdir()
    Blend(name="mix", sources=tuple(sources), tokens=tokens).save(folder)
    return folder


@pytest.mark.parametrize("share", [0.05, 0.10, 0.20])
def test_blend_draws_every_source_in_its_share(write_corpus, tmp_path, share):
    folder = write_blend(write_corpus, tmp_path, share)
    total = Corpus.load(folder).samples_per_epoch(16)
    samples = build_datasets(folder, seq_length=16, samples=total, seed=1)
    drawn = Counter(samples.origin(number).shard.split("/")[0] for number in range(total))
    assert total == pytest.approx(198 / (1 - share), abs=3)
    assert abs(drawn["toxic"] - share * total) <= 1
    assert {samples.origin(number).shard for number in range(total)} == {
        "clean/shard-00000",
        "clean/shard-00001",
        "toxic/shard-00000",
    }


def test_no_sample_of_a_source_comes_twice_within_its_pass(write_corpus, tmp_path):
    folder = write_blend(write_corpus, tmp_path, 0.1)
    total = Corpus.load(folder).samples_per_epoch(16) - 3
    samples = build_datasets(folder, seq_length=16, samples=total, seed=1)
    blended = samples.epochs[0]
    drawn = Counter(zip(blended.dataset_index[:total].tolist(), blended.dataset_sample_index[:total].tolist()))
    assert set(drawn.values()) == {1}
    pieces = [piece for number in range(total) for piece in pieces_of_sample(samples, number)]
    assert {piece.epoch for piece in pieces} == {0}


def test_documents_of_a_blend_are_found_in_its_samples_and_back(write_corpus, tmp_path):
    folder = write_blend(write_corpus, tmp_path, 0.2)
    samples = build_datasets(folder, seq_length=16, samples=240, seed=1)
    for shard, document in (("clean/shard-00001", 7), ("toxic/shard-00000", 3)):
        pieces = pieces_of_document(samples, shard, document)
        assert pieces
        for piece in pieces:
            assert document in samples.origin(piece.sample).documents
            assert piece in pieces_of_sample(samples, piece.sample)


def test_repeated_source_says_which_pass_a_piece_belongs_to(write_corpus, tmp_path):
    folder = write_blend(write_corpus, tmp_path, 0.5)  # 3,200 toxic tokens of 960: 3.3 passes
    samples = build_datasets(folder, seq_length=16, samples=390, seed=1)
    epochs = {piece.epoch for piece in pieces_of_document(samples, "toxic/shard-00000", 5)}
    assert {0, 1, 2} <= epochs <= {0, 1, 2, 3}


def test_source_that_changed_after_the_blend_is_refused(write_corpus, tmp_path):
    folder = write_blend(write_corpus, tmp_path, 0.1)
    (tmp_path / "toxic").rename(tmp_path / "old")
    write_corpus(TOXIC[:30], name="toxic")
    gone = r"toxic: manifest [0-9a-f]{16} is no longer kept, the newest is [0-9a-f]{16}"
    with pytest.raises(ManifestError, match=gone):
        build_datasets(folder, seq_length=16, samples=100, seed=1)


def test_sources_of_two_tokenizers_are_refused_with_both(write_corpus, tmp_path):
    folder = write_blend(write_corpus, tmp_path, 0.1)
    (tmp_path / "toxic").rename(tmp_path / "old")
    write_corpus(TOXIC, name="toxic", vocab=128)
    blend = Blend.load(folder)
    changed = blend.sources[1].model_copy(update={"manifest_id": Manifest.load(tmp_path / "toxic").id})
    blend.model_copy(update={"sources": (blend.sources[0], changed)}).save(folder)
    with pytest.raises(ManifestError, match=r"vocab_size=64 .*vocab_size=128.*export both with one tokenizer"):
        build_datasets(folder, seq_length=16, samples=100, seed=1)
