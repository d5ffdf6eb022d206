"""Spliced rows, and the pools that their pieces come from."""

from dataclasses import replace

import numpy as np
import pytest

from tests.bundles import small_tokenizer
from tests.planted import coarse, planted
from tokensieve.pretrain.classifier.spliced_rows import Pool, Pools, SpliceConfig, rows
from tokensieve.pretrain.classifier.token_pools import TargetConfig, build_pools, topic_embedding
from tokensieve.udfs.labels.labels import DocumentLabels, unknown
from tokensieve.udfs.labels.lexicon import Lexicon
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


def _pool(first: int, target: float) -> Pool:
    return Pool(
        ids_T=np.arange(first, first + 100),
        targets_T=np.full(100, target),
        known_T=np.ones(100, dtype=bool),
        starts_S=np.array([0, 30, 60]),
        bounds_D1=np.array([0, 60, 100]),
        anchors_A=np.arange(100),
    )


@pytest.fixture
def pools() -> Pools:
    return Pools(positive=_pool(0, 1.0), near=_pool(1000, 0.0), far=_pool(2000, 0.0))


def test_spliced_rows_are_full_and_switch_their_label_at_every_seam(pools):
    config = SpliceConfig(rows=4, row_tokens=80, unspliced=0.0, shortest=5, longest=20)
    made = rows(pools, config, seed=1, step=0)
    assert made.bounds_R1.tolist() == [0, 80, 160, 240, 320]
    assert ((made.ids_T < 1000) == (made.targets_T == 1)).all()
    seams_R = [np.abs(np.diff(made.targets_T[a : a + 80])).sum() for a in (0, 80, 160, 240)]
    assert min(seams_R) >= 3


def test_a_piece_never_crosses_a_document(pools):
    rng = np.random.default_rng(0)
    for _ in range(200):
        part = pools.positive.piece(rng, 50, at_sentence=bool(rng.integers(2)))
        assert part.stop > part.start
        assert part.stop <= 60 or part.start >= 60


def test_a_piece_begins_at_an_anchor_or_at_the_start_of_its_sentence(pools):
    pool = replace(pools.positive, anchors_A=np.array([7, 45]))
    rng = np.random.default_rng(0)
    assert {pool.piece(rng, 5, at_sentence=False).start for _ in range(50)} == {7, 45}
    assert {pool.piece(rng, 5, at_sentence=True).start for _ in range(50)} == {0, 30}


def test_unspliced_rows_have_one_label(pools):
    made = rows(pools, SpliceConfig(rows=6, row_tokens=40, unspliced=1.0), seed=1, step=0)
    for first, stop in zip(made.bounds_R1[:-1], made.bounds_R1[1:], strict=True):
        assert len(set(made.targets_T[first:stop])) == 1


def test_rows_are_a_function_of_seed_and_step(pools):
    config = SpliceConfig(rows=2, row_tokens=50)
    ids = [rows(pools, config, seed, step).ids_T.tolist() for seed, step in [(1, 7), (1, 7), (1, 8), (2, 7)]]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]
    assert ids[0] != ids[3]


# --- pools ---


@pytest.fixture(scope="module")
def documents():
    return planted(12)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, documents) -> ByteTokenizer:
    return ByteTokenizer.load(small_tokenizer(tmp_path_factory.mktemp("pools") / "tokenizer.json", documents.texts))


def _built(documents, tokenizer) -> Pools:
    return build_pools(documents, "biology", tokenizer, Lexicon(log_odds={}), TargetConfig(floor=1.0))


def test_coarse_labels_make_pools_of_documents(documents, tokenizer):
    pools = _built(coarse(documents), tokenizer)
    assert [len(pool.bounds_D1) - 1 for pool in (pools.positive, pools.near, pools.far)] == [4, 4, 4]
    assert pools.positive.targets_T.min() == 1
    assert pools.far.targets_T.max() == 0
    assert len(pools.all) == 3


def test_token_labels_make_anchors_in_the_same_tokens(documents, tokenizer):
    pools = _built(documents, tokenizer)
    assert len(pools.all) == 1
    assert (pools.positive.targets_T[pools.positive.anchors_A] == 1).all()
    for pool in (pools.near, pools.far):
        assert (pool.targets_T[pool.anchors_A] == 0).all()
    together = np.concatenate([pool.anchors_A for pool in (pools.positive, pools.near, pools.far)])
    assert np.sort(together).tolist() == list(range(len(pools.near.ids_T)))


def test_unknown_tokens_are_never_anchors_and_carry_no_target_of_their_own(documents, tokenizer):
    labels = [unknown(documents.texts[0], "refused"), *documents.labels[1:]]
    pools = _built(replace(documents, labels=labels), tokenizer)
    first = int(pools.near.bounds_D1[1])
    assert not pools.positive.known_T[:first].any()
    for pool in (pools.positive, pools.near, pools.far):
        assert pool.anchors_A.min() >= first
    made = rows(pools, SpliceConfig(rows=4, row_tokens=60), seed=0, step=0)
    assert made.known_T.all()


def test_pools_of_one_class_are_refused(documents, tokenizer):
    with pytest.raises(ValueError, match="0 of 8 documents are positive"):
        _built(coarse(documents).where(~documents.positive_D), tokenizer)
    nothing = replace(documents, labels=[DocumentLabels()] * 12)
    with pytest.raises(ValueError, match=r"0 of .* known tokens are forbidden"):
        _built(nothing, tokenizer)


def test_targets_mix_the_label_and_the_word():
    config = TargetConfig(floor=0.5, spill=0.2)
    assert config.targets(np.array([0.0, 50.0, -50.0]), positive=True).tolist() == pytest.approx([0.75, 1.0, 0.5])
    assert config.targets(np.array([0.0, 50.0, -50.0]), positive=False).tolist() == pytest.approx([0.0, 0.2, 0.0])


def test_topic_embedding_puts_tokens_of_the_same_documents_together():
    ids_T = np.array([0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 2, 3, 3, 2])
    pool = replace(_pool(0, 0.0), ids_T=ids_T, bounds_D1=np.array([0, 2, 4, 6, 8, 10, 14]))
    vectors = topic_embedding([pool], vocabulary=5, dim=2, seed=0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.8
    assert unit[2] @ unit[3] > 0.8
    assert unit[0] @ unit[2] < 0.2
    assert np.isfinite(vectors).all()
