"""What a step reads: within budget and context, never a held-out document, the same whatever the microbatch."""

from pathlib import Path

import numpy as np
import pytest

from tests.pretrain.encoder.made import config, corpus_of, store
from tokensieve.pretrain.encoder.corpus import Corpus
from tokensieve.pretrain.errors import DatasetError

DOCUMENTS = [[n % 60, *range(n % 23)] for n in range(1, 200)]


def _texts(corpus: Corpus) -> list[tuple[int, ...]]:
    rows = [row for step in range(corpus.schedule.steps) for row in corpus.step(step)]
    return [
        tuple(row.ids_T[first:stop].tolist())
        for row in rows
        for first, stop in zip(row.bounds_N1[:-1], row.bounds_N1[1:], strict=True)
    ]


def test_microbatches_stay_within_their_budget_and_hold_the_step(tmp_path: Path):
    corpus = corpus_of(config(tmp_path), [store(tmp_path / "one", DOCUMENTS)])
    for step in range(corpus.schedule.steps):
        sizes = [len(row.ids_T) for row in corpus.step(step)]
        assert max(sizes) <= 128
        assert abs(sum(sizes) - 256) < 16


def test_the_microbatch_changes_neither_a_steps_pieces_nor_their_keys(tmp_path: Path):
    found = []
    for tokens in (16, 4096):
        recipe = config(tmp_path, batch={"context": 16, "step_tokens": 256, "microbatch_tokens": tokens})
        rows = corpus_of(recipe, [store(tmp_path / "one", DOCUMENTS)]).step(3)
        found.append(sorted(int(key) for row in rows for key in row.key_N))
    assert found[0] == found[1]


def test_a_held_out_document_is_never_trained_on_wherever_it_stands(tmp_path: Path):
    """Released code split by position in one file of joined documents."""
    documents = [[n % 60, *range(n % 15)] for n in range(1, 200)]  # none is cut
    recipe = config(tmp_path, budget={"tokens": 256 * 30})
    one = corpus_of(recipe, [store(tmp_path / "one", documents)])
    kept_out = {
        tuple(row.ids_T[a:b].tolist())
        for row in one.heldout()["one"]
        for a, b in zip(row.bounds_N1[:-1], row.bounds_N1[1:])
    }
    trained = set(_texts(one))
    assert kept_out
    assert not kept_out & trained
    turned = corpus_of(recipe, [store(tmp_path / "turned", [*documents[::-1], [1, 2, 3]])])
    assert not kept_out & set(_texts(turned))


def test_two_sources_keep_their_ids_apart_and_share_the_tokens(tmp_path: Path):
    sources = [{"name": name, "path": "x", "share": share} for name, share in (("low", 0.25), ("high", 0.75))]
    recipe = config(tmp_path, sources=sources, budget={"tokens": 256 * 20})
    low = store(tmp_path / "low", [[1 + n % 20] * (1 + n % 9) for n in range(300)])
    high = store(tmp_path / "high", [[30 + n % 20] * (1 + n % 30) for n in range(60)])
    corpus = corpus_of(recipe, [low, high])
    ids_T = np.concatenate([row.ids_T for step in range(20) for row in corpus.step(step)])
    assert (ids_T < 30).sum() == pytest.approx(0.25 * 256 * 20, abs=2 * 16)
    assert corpus.heldout().keys() == {"low", "high"}


def test_held_out_pieces_stop_at_their_budget(tmp_path: Path):
    recipe = config(tmp_path, heldout={"share": 0.5, "tokens": 100, "every": 100})
    rows = corpus_of(recipe, [store(tmp_path / "one", DOCUMENTS)]).heldout()["one"]
    assert 80 < sum(len(row.ids_T) for row in rows) <= 100


def test_a_source_too_small_to_hold_out_a_document_is_an_error(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"one: of 1 documents .* change heldout\.share \(0\.2\)"):
        corpus_of(config(tmp_path), [store(tmp_path / "one", [[1, 2, 3]])])
