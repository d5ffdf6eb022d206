"""Finding documents in training samples and samples in documents, over real shards and Megatron's own indices."""

import numpy as np
import pytest

pytest.importorskip("megatron.core", reason="megatron-core is not installed")

from tokensieve.pretrain.samples.locate import Piece, pieces_of_document, pieces_of_sample
from tokensieve.pretrain.samples.training_samples import build_datasets
from tokensieve.pretrain.shards.shard import ShardReader

# 3 documents of 5, 3 and 6 tokens, each ended by eod (0): 14 tokens, 3 samples of 4 labels.
SHARD = [
    ([11, 12, 13, 14, 0], [1, 0, 0, 1, 1]),
    ([21, 22, 0], [0, 1, 1]),
    ([31, 32, 33, 34, 35, 0], [1, 1, 1, 0, 1, 1]),
]
SECOND = [([41, 42, 43, 44, 45, 46, 47, 48, 49, 0], [1] * 9 + [0])]


def _ids(samples, index):
    sample = samples[index]
    return [int(sample["tokens"][0]), *sample["labels"].tolist()]


def test_the_pieces_of_a_sample_are_the_ids_that_the_dataset_gives(write_corpus):
    folder = write_corpus(SHARD)
    samples = build_datasets(folder, seq_length=4, samples=3, seed=1)

    found = [
        [id for piece in pieces_of_sample(samples, index) for id in SHARD[piece.document][0][piece.first : piece.end]]
        for index in range(len(samples))
    ]

    assert found == [_ids(samples, index) for index in range(len(samples))]


def test_a_sample_names_its_documents_with_literal_places(write_corpus):
    folder = write_corpus(SHARD[:2])
    samples = build_datasets(folder, seq_length=7, samples=1, seed=0)
    order = [piece.document for piece in pieces_of_sample(samples, 0)]

    expected = {
        (0, 1): [
            Piece(sample=0, epoch=0, shard="shard-00000", document=0, first=0, end=5, at=0),
            Piece(sample=0, epoch=0, shard="shard-00000", document=1, first=0, end=3, at=5),
        ],
        (1, 0): [
            Piece(sample=0, epoch=0, shard="shard-00000", document=1, first=0, end=3, at=0),
            Piece(sample=0, epoch=0, shard="shard-00000", document=0, first=0, end=5, at=3),
        ],
    }
    assert pieces_of_sample(samples, 0) == expected[order[0], order[1]]


@pytest.mark.parametrize("seq_length", [1, 2, 3, 4, 6, 13])
def test_documents_and_samples_name_each_other_and_cover_the_shard_once(write_corpus, seq_length):
    folder = write_corpus(SHARD)
    samples = build_datasets(folder, seq_length=seq_length, samples=1, seed=3)
    from_samples = {piece for index in range(len(samples)) for piece in pieces_of_sample(samples, index)}
    from_documents = {piece for document in range(3) for piece in pieces_of_document(samples, "shard-00000", document)}

    assert from_documents == from_samples
    as_label = np.concatenate([_label_places(piece) for piece in from_samples])
    assert len(as_label) == len(set(as_label.tolist())) == 13 // seq_length * seq_length


def _label_places(piece):
    """Tokens of the shard, numbered through, that are labels in this piece."""
    first = piece.first + (1 if piece.at == 0 else 0)
    return np.array([100 * piece.document + token for token in range(first, piece.end)], dtype=int)


def test_labels_and_loss_mask_of_a_piece_are_those_of_the_shard(write_corpus):
    folder = write_corpus(SHARD, SECOND)
    samples = build_datasets(folder, seq_length=4, samples=5, seed=5)
    checked = 0
    for index in range(len(samples)):
        for piece in pieces_of_sample(samples, index):
            reader = ShardReader(folder / piece.shard)
            first = piece.first + (1 if piece.at == 0 else 0)
            assert samples[index]["labels"][piece.labels].tolist() == (
                reader.ids(piece.document)[first : piece.end].tolist()
            )
            assert samples[index]["loss_mask"][piece.labels].tolist() == (
                reader.loss_mask(piece.document)[first : piece.end].tolist()
            )
            checked += piece.end - first
    assert checked == 5 * 4


def test_a_document_of_two_shards_and_two_epochs_is_found_in_each(write_corpus):
    folder = write_corpus(SHARD, SECOND)
    samples = build_datasets(folder, seq_length=4, samples=10, seed=5)
    pieces = pieces_of_document(samples, "shard-00001", 0)

    assert {piece.epoch for piece in pieces} == {0, 1}
    assert [(piece.first, piece.end) for piece in sorted(pieces, key=lambda p: (p.epoch, p.first))] == [
        (0, 5),
        (4, 9),
        (0, 5),
        (4, 9),
    ]


def test_a_shard_without_a_sample_gives_no_piece(write_corpus):
    folder = write_corpus(SHARD, [([7, 0], [1, 1])])
    samples = build_datasets(folder, seq_length=4, samples=3, seed=0)

    assert pieces_of_document(samples, "shard-00001", 0) == []


def test_a_sample_past_the_end_is_refused(write_corpus):
    samples = build_datasets(write_corpus(SHARD), seq_length=4, samples=3, seed=0)
    with pytest.raises(IndexError, match="sample 3 of 3"):
        pieces_of_sample(samples, 3)
