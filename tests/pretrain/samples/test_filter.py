"""Hidden tokens, thresholds, noise, delay, the input-aligned switch: decided at reading, ids on disk untouched."""

import numpy as np
import pytest

pytest.importorskip("megatron.core", reason="needs megatron-core")

from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.samples.filter_config import FilterConfig, LabelNoise
from tokensieve.pretrain.samples.training_samples import build_datasets

# eod is 0, 63 is the hidden id. Seed 3 packs the documents as 3, 4, 1, 0, 2, then shuffles the samples.
# Per document: ids, exported loss mask, scores (grid values; 128 is probability 0.5, 255 another policy's span).
DOCUMENTS = [
    ([11, 12, 13, 0], [1, 0, 0, 1], [100, 150, 200, 0]),
    ([21, 22, 0], [0, 1, 1], [140, 90, 0]),
    ([31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 0], [1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1], [*range(120, 130), 0]),
    ([41, 0], [1, 1], [255, 0]),
    ([51, 52, 53, 54, 0], [1, 0, 0, 1, 1], [10, 20, 30, 40, 0]),
]


def sample(folder, number: int, **settings) -> dict[str, list]:
    filtering = FilterConfig.model_validate(settings)
    samples = build_datasets(folder, seq_length=8, samples=3, seed=3, settings=filtering)
    return {name: samples[number][name].int().tolist() for name in ("tokens", "labels", "loss_mask")}


def test_hidden_tokens_are_replaced_as_inputs_and_as_labels_and_bear_no_loss(write_corpus):
    folder = write_corpus(DOCUMENTS)
    assert sample(folder, 0, mode="hide") == {
        "tokens": [22, 0, 11, 63, 63, 0, 31, 32],
        "labels": [0, 11, 63, 63, 0, 31, 32, 33],
        "loss_mask": [1, 1, 0, 0, 1, 1, 1, 1],
    }
    assert sample(folder, 0, mode="mask")["tokens"] == [22, 0, 11, 12, 13, 0, 31, 32]


def test_mask_and_none_give_the_ids_of_the_export(write_corpus):
    folder = write_corpus(DOCUMENTS)
    for number in range(3):
        masked, plain = sample(folder, number, mode="mask"), sample(folder, number, mode="none")
        assert (masked["tokens"], masked["labels"]) == (plain["tokens"], plain["labels"])
        assert plain["loss_mask"] == [1] * 8


def test_input_alignment_is_the_mask_of_the_token_read(write_corpus):
    folder = write_corpus(DOCUMENTS)
    # tokens 22 0 11 12 13 0 31 32: 12 and 13 are forget tokens. By label, 12 and 13 are never predicted; by input, the
    # first forget token 12 still is, and the retain token after the span is not.
    assert sample(folder, 0)["loss_mask"] == [1, 1, 0, 0, 1, 1, 1, 1]
    assert sample(folder, 0, align="input")["loss_mask"] == [1, 1, 1, 0, 0, 1, 1, 1]


def test_threshold_decides_by_the_stored_scores(write_corpus):
    folder = write_corpus(DOCUMENTS)
    # Labels 0 11 12 13 0 31 32 33 have the scores 0 100 150 200 0 120 121 122.
    assert sample(folder, 0, threshold=0.5)["loss_mask"] == [1, 1, 0, 0, 1, 1, 1, 1]
    assert sample(folder, 0, threshold=0.85)["loss_mask"] == [1, 1, 1, 0, 1, 1, 1, 1]
    assert sample(folder, 0, threshold=0.14)["loss_mask"] == [1, 0, 0, 0, 1, 0, 0, 0]


def test_token_that_another_policy_forgets_is_forgotten_at_every_threshold(write_corpus):
    samples = build_datasets(
        write_corpus(DOCUMENTS), seq_length=8, samples=3, seed=3, settings=FilterConfig(threshold=0.999)
    )
    forgotten = {
        int(label)
        for number in range(3)
        for label, keep in zip(samples[number]["labels"], samples[number]["loss_mask"], strict=True)
        if not keep
    }
    assert forgotten <= {41}  # it is the first token of the corpus, which is no label


def test_share_is_met_by_the_level_that_comes_nearest(write_corpus):
    # 25 tokens; scores of at least 150: 150, 200, 255. A share of 0.12 is 3 tokens.
    folder = write_corpus(DOCUMENTS)
    assert sample(folder, 0, forget_share=0.12)["loss_mask"] == [1, 1, 0, 0, 1, 1, 1, 1]
    assert sample(folder, 0, forget_share=0.08)["loss_mask"] == [1, 1, 1, 0, 1, 1, 1, 1]


def test_scores_that_were_not_exported_are_asked_for(write_corpus):
    folder = write_corpus([document[:2] for document in DOCUMENTS])
    with pytest.raises(DatasetError, match=r"exported without scores; set export\.scores to a policy"):
        sample(folder, 0, threshold=0.5)


def test_delayed_filter_trains_on_everything_before_its_sample(write_corpus):
    folder = write_corpus(DOCUMENTS, DOCUMENTS)
    settings = FilterConfig(mode="hide")
    filtered = build_datasets(folder, seq_length=8, samples=12, seed=3, settings=settings)
    delayed = build_datasets(folder, seq_length=8, samples=12, seed=3, settings=settings, first_filtered_sample=4)
    plain = build_datasets(folder, seq_length=8, samples=12, seed=3, settings=FilterConfig(mode="none"))
    for number in range(12):
        expected = (plain if number < 4 else filtered)[number]
        for name in ("tokens", "labels", "loss_mask"):
            assert delayed[number][name].tolist() == expected[name].tolist()


def forget_by_token(folder, noise: LabelNoise | None) -> dict[int, int]:
    """Loss mask of every label of all samples; documents of the test below have ids of their own."""
    samples = build_datasets(folder, seq_length=10, samples=1, seed=0, settings=FilterConfig(noise=noise))
    found: dict[int, int] = {}
    for number in range(len(samples)):
        labels, keep = samples[number]["labels"].tolist(), samples[number]["loss_mask"].int().tolist()
        found |= {label: kept for label, kept in zip(labels, keep, strict=True) if label}
    return found


def test_noise_flips_at_its_rates_never_an_end_and_the_same_way_wherever_a_document_lies(write_corpus):
    ids = np.arange(1, 4001).reshape(100, 40)
    documents = [([*row.tolist(), 0], [*[0] * 20, *[1] * 20, 1]) for row in ids]
    noise = LabelNoise(miss=0.3, false_alarm=0.05, seed=5)
    folder = write_corpus(documents, vocab=5000, hidden=4999)
    clean, noisy = forget_by_token(folder, None), forget_by_token(folder, noise)
    missed = np.mean([noisy[one] for one, kept in clean.items() if not kept])
    alarmed = np.mean([1 - noisy[one] for one, kept in clean.items() if kept])
    assert missed == pytest.approx(0.3, abs=0.03)
    assert alarmed == pytest.approx(0.05, abs=0.015)
    assert noisy == forget_by_token(folder, noise)
    assert noisy != forget_by_token(folder, noise.model_copy(update={"seed": 6}))

    samples = build_datasets(
        folder, seq_length=10, samples=1, seed=0, settings=FilterConfig(noise=LabelNoise(false_alarm=1))
    )
    for number in range(len(samples)):
        labels = samples[number]["labels"].numpy()
        assert samples[number]["loss_mask"].numpy()[labels == 0].all()


def test_noise_follows_the_document_into_another_shard(write_corpus, tmp_path):
    documents = [([*range(40 * row + 1, 40 * row + 41), 0], [*[0] * 40, 1]) for row in range(10)]
    one = write_corpus(documents, vocab=500, hidden=499, name="one")
    two = write_corpus(documents[:5], documents[5:], vocab=500, hidden=499, name="two")
    ids = [f"document {row}" for row in range(10)]
    rename(one, ids)
    rename(two, ids[:5], ids[5:])
    noise = LabelNoise(miss=0.5)
    there, here = forget_by_token(two, noise), forget_by_token(one, noise)
    assert len(here.keys() & there.keys()) > 300
    assert all(here[token] == there[token] for token in here.keys() & there.keys())


def rename(folder, *ids_by_shard: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for at, ids in enumerate(ids_by_shard):
        pq.write_table(pa.table({"doc_id": ids}), folder / "docs" / f"shard-{at:05d}.parquet")


def test_noise_without_a_document_index_is_refused(write_corpus):
    folder = write_corpus(DOCUMENTS)
    (folder / "docs" / "shard-00000.parquet").unlink()
    with pytest.raises(DatasetError, match=r"docs/shard-00000\.parquet: the document index of shard-00000 is missing"):
        sample(folder, 0, noise={"miss": 0.5})


def test_pickled_index_is_refused_before_megatron_opens_it(write_corpus, tmp_path):
    folder, cache = write_corpus(DOCUMENTS), tmp_path / "cache"
    build_datasets(folder, seq_length=8, samples=3, seed=3, cache=cache)
    index = next(cache.glob("*/*shuffle_index.npy"))
    np.save(index, np.array([{"code": "would run"}], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"shuffle_index\.npy: holds pickled objects"):
        build_datasets(folder, seq_length=8, samples=3, seed=3, cache=cache)
