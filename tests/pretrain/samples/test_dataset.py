"""Tokens, labels and loss masks of training samples, asserted literally through document packing."""

import pickle
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("megatron.core", reason="needs megatron-core")

from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset

from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.samples.dataset import FilteredGPTDataset, FilteredGPTDatasetConfig
from tokensieve.pretrain.samples.filter_config import FilterConfig
from tokensieve.pretrain.samples.training_samples import SampleOrigin, TokenizerStandIn, build_datasets
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.shards.megatron_index import CorruptShardError
from tokensieve.pretrain.shards.shard import ShardReader, ShardWriter

# eod is 0 and takes loss, 63 is the hidden id. Seed 3 packs the documents as 3, 4, 1, 0, 2, then shuffles the samples.
DOCUMENTS = [
    ([11, 12, 13, 0], [1, 0, 0, 1]),
    ([21, 22, 0], [0, 1, 1]),
    ([31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 0], [1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1]),
    ([41, 0], [1, 1]),
    ([51, 63, 63, 52, 0], [1, 0, 0, 1, 1]),
]
FIRST, SECOND, THIRD = (
    {
        "tokens": [22, 0, 11, 12, 13, 0, 31, 32],
        "labels": [0, 11, 12, 13, 0, 31, 32, 33],
        "loss_mask": [1, 1, 0, 0, 1, 1, 1, 1],
        "position_ids": [0, 1, 2, 3, 4, 5, 6, 7],
    },
    {
        "tokens": [33, 34, 35, 36, 37, 38, 39, 40],
        "labels": [34, 35, 36, 37, 38, 39, 40, 0],
        "loss_mask": [0, 0, 0, 1, 1, 1, 1, 1],
        "position_ids": [0, 1, 2, 3, 4, 5, 6, 7],
    },
    {
        "tokens": [41, 0, 51, 63, 63, 52, 0, 21],
        "labels": [0, 51, 63, 63, 52, 0, 21, 22],
        "loss_mask": [1, 1, 0, 0, 1, 1, 0, 1],
        "position_ids": [0, 1, 2, 3, 4, 5, 6, 7],
    },
)


def literal(sample) -> dict[str, list]:
    return {name: value.tolist() for name, value in sample.items() if name != "dataset_id"}


def open_split(folder, kind: type[GPTDataset] = FilteredGPTDataset, seq_length=8, valid=False, **options) -> Any:
    """One shard as Megatron opens it: the train split, or a validation split that keeps its last part."""
    blend = ([str(folder / "shard-00000")], None)
    config = FilteredGPTDatasetConfig(
        random_seed=3,
        sequence_length=seq_length,
        blend_per_split=[None, blend, None] if valid else [blend, None, None],
        path_to_cache=str(folder / "cache"),
        tokenizer=TokenizerStandIn(Manifest.load(folder).tokenizer),  # type: ignore[arg-type]
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
        drop_last_partial_validation_sequence=False,
        **options,
    )
    sizes: Any = [None, None, None]
    return BlendedMegatronDatasetBuilder(kind, sizes, lambda: True, config).build()[int(valid)]


def test_loss_mask_belongs_to_the_label_also_across_packed_documents(write_corpus):
    samples = build_datasets(write_corpus(DOCUMENTS), seq_length=8, samples=3, seed=3)
    assert [literal(samples[i]) for i in range(len(samples))] == [FIRST, SECOND, THIRD]


def test_without_the_mask_every_label_bears_loss_and_nothing_else_changes(write_corpus):
    samples = build_datasets(
        write_corpus(DOCUMENTS), seq_length=8, samples=3, seed=3, settings=FilterConfig(mode="none")
    )
    expected = [{**sample, "loss_mask": [1] * 8} for sample in (FIRST, SECOND, THIRD)]
    assert [literal(samples[i]) for i in range(3)] == expected


def test_megatrons_own_dataset_reads_the_same_tokens_and_labels(write_corpus):
    folder = write_corpus(DOCUMENTS)
    plain, filtered = open_split(folder, GPTDataset), open_split(folder)
    for i in range(3):
        for name in ("tokens", "labels", "position_ids"):
            assert plain[i][name].tolist() == filtered[i][name].tolist()
        assert plain[i]["loss_mask"].tolist() == [1] * 8


def test_padding_bears_no_loss_and_does_not_spoil_later_samples(write_corpus):
    dataset = open_split(write_corpus(DOCUMENTS[:2]), seq_length=4, valid=True)
    # Fetched first, so that Megatron caches the mask of the padded sample.
    order = sorted(range(2), key=lambda i: dataset[i]["labels"].tolist().count(0), reverse=True)
    samples = [literal(dataset[i]) for i in order]
    assert [(s["tokens"], s["labels"], s["loss_mask"]) for s in samples] == [
        ([12, 13, 0, 0], [13, 0, 0, 0], [0, 1, 0, 0]),
        ([21, 22, 0, 11], [22, 0, 11, 12], [1, 1, 1, 0]),
    ]


def test_sequences_without_an_extra_token_mask_their_last_label(write_corpus):
    dataset = open_split(write_corpus(DOCUMENTS), add_extra_token_to_sequence=False)
    samples = [literal(dataset[i]) for i in range(len(dataset))]
    first = next(sample for sample in samples if sample["tokens"][0] == 41)
    assert first["tokens"] == [41, 0, 51, 63, 63, 52, 0, 21]
    assert first["labels"] == [0, 51, 63, 63, 52, 0, 21, 0]
    assert first["loss_mask"] == [1, 1, 0, 0, 1, 1, 0, 0]


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 30), min_size=4, max_size=40), seq_length=st.integers(2, 40))
def test_mask_follows_its_token_for_any_lengths(tmp_path_factory, corpus_writer, lengths, seq_length):
    assume(sum(lengths) > seq_length)
    folder = tmp_path_factory.mktemp("any")
    rng = np.random.default_rng(len(lengths))
    ids = [[*rng.integers(1, 60, length - 1).tolist(), 0] for length in lengths]
    corpus_writer(folder, [[(row, [int(i % 3 > 0) for i in row]) for row in ids]])
    samples = build_datasets(folder, seq_length=seq_length, samples=1, seed=0)
    for index in range(len(samples)):
        sample = samples[index]
        assert sample["loss_mask"].tolist() == (sample["labels"] % 3 > 0).float().tolist()


def test_epochs_over_several_shards_show_every_sample_once_and_skip_shards_that_are_too_short(write_corpus):
    folder = write_corpus(DOCUMENTS, [([1, 0], [1, 1])], DOCUMENTS[::-1])
    samples = build_datasets(folder, seq_length=8, samples=7, seed=3)
    assert (len(samples), samples.samples_per_epoch) == (12, 6)
    assert literal(samples[0]) == FIRST
    first_epoch = [samples.origin(i).shard for i in range(6)]
    assert sorted(first_epoch) == ["shard-00000"] * 3 + ["shard-00002"] * 3
    assert [literal(samples[i]) for i in range(6)] != [literal(samples[i]) for i in range(6, 12)]


def test_order_of_samples_does_not_depend_on_the_length_of_the_run(write_corpus):
    folder = write_corpus(DOCUMENTS, DOCUMENTS[::-1])
    short = build_datasets(folder, seq_length=8, samples=6, seed=1)
    long = build_datasets(folder, seq_length=8, samples=30, seed=1)
    assert [literal(short[i]) for i in range(6)] == [literal(long[i]) for i in range(6)]


def test_sample_leads_back_to_its_documents(write_corpus):
    samples = build_datasets(write_corpus(DOCUMENTS), seq_length=8, samples=3, seed=3)
    assert samples.origin(0) == SampleOrigin(shard="shard-00000", documents=[1, 0, 2])
    assert samples.origin(2) == SampleOrigin(shard="shard-00000", documents=[3, 4, 1])
    with pytest.raises(IndexError, match="sample 3 of 3"):
        samples[3]


def test_rewritten_shards_never_meet_the_old_index_cache(write_corpus, tmp_path):
    folder = write_corpus(DOCUMENTS)
    cache = tmp_path / "cache"
    build_datasets(folder, seq_length=8, samples=3, seed=3, cache=cache)
    folder.rename(tmp_path / "old")
    write_corpus([DOCUMENTS[2], DOCUMENTS[2]])
    samples = build_datasets(folder, seq_length=8, samples=2, seed=3, cache=cache)
    assert len(samples) == 2
    assert len(list(cache.iterdir())) == 2


def test_mask_of_other_documents_is_refused_when_the_dataset_opens(write_corpus):
    folder = write_corpus(DOCUMENTS, [DOCUMENTS[2]])
    for suffix in ("_mask.idx", "_mask.bin"):
        (folder / f"shard-00001{suffix}").replace(folder / f"shard-00000{suffix}")
    with pytest.raises(CorruptShardError, match="document lengths differ"):
        build_datasets(folder, seq_length=8, samples=1, seed=0)


def test_shard_written_again_after_the_manifest_is_refused(write_corpus):
    folder = write_corpus(DOCUMENTS)
    with ShardWriter(folder / "shard-00000", ShardReader(folder / "shard-00000").dtype) as writer:
        writer.add(np.arange(20), np.ones(20, np.uint8), np.array([20]))
    with pytest.raises(DatasetError, match="1 documents and 20 tokens, the manifest says 5 and 25"):
        build_datasets(folder, seq_length=8, samples=1, seed=0)


def test_shards_too_short_for_one_sample_are_refused(write_corpus):
    with pytest.raises(DatasetError, match=r"no shard of split train holds one sample of 25 \+ 1 tokens"):
        build_datasets(write_corpus(DOCUMENTS), seq_length=25, samples=1, seed=0)


def test_index_walk_that_differs_from_megatrons_is_refused(write_corpus, monkeypatch):
    folder = write_corpus(DOCUMENTS)
    walk = GPTDataset._query_document_sample_shuffle_indices
    monkeypatch.setattr(
        GPTDataset,
        "_query_document_sample_shuffle_indices",
        lambda self, idx: (walk(self, idx)[0] + 1, walk(self, idx)[1]),
    )
    with pytest.raises(DatasetError, match="differs from what GPTDataset reads"):
        build_datasets(folder, seq_length=8, samples=1, seed=0)


def test_dataset_survives_pickling_and_threads(write_corpus):
    dataset = open_split(write_corpus(DOCUMENTS * 20))
    expected = [literal(dataset[i]) for i in range(len(dataset))]
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301  (what a DataLoader's worker does)
    found: dict[int, list] = {}

    def fetch(worker: int) -> None:
        found[worker] = [literal(copy[i]) for i in range(len(copy))]

    threads = [threading.Thread(target=fetch, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[worker] for worker in range(4)] == [expected] * 4
