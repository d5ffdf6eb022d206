"""Packed equals unpacked, each token once, the same packs again: what must hold whatever the documents are."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bundles import random_bundle
from tokensieve.udfs.packing.windows import windows
from tokensieve.udfs.scoring.backends.torch_packed import TorchPacked
from tokensieve.udfs.scoring.batch_group import Forward, Request
from tokensieve.udfs.scoring.meter import Meter
from tokensieve.udfs.scoring.scorer import Scorer, ScorerSettings

WORDS = ["aspirin", "star", "treats", "the", "patient", "galaxy", "of", "\n", "\N{GREEK SMALL LETTER ALPHA}"]
documents = st.lists(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join), max_size=12)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return random_bundle(tmp_path_factory.mktemp("scorer") / "b", texts=WORDS, head_scale=2.0)


@pytest.fixture(scope="module")
def scorer(bundle):
    return Scorer(ScorerSettings(bundles=(("p", str(bundle.path), bundle.bundle_id),), device="cpu", token_budget=1024))


def alone(bundle, ids_T: np.ndarray) -> np.ndarray:
    """Both heads' values of one document by itself, float32 [T, 2]."""
    with torch.inference_mode():
        bounds = torch.tensor([0, len(ids_T)])
        return bundle.heads()(bundle.encoder()(torch.from_numpy(ids_T.astype(np.int64)), bounds)).numpy()


@settings(max_examples=25, deadline=None)
@given(texts=documents, budget=st.integers(16, 400))
def test_packed_logits_equal_those_of_every_document_alone_to_1e_5(bundle, scorer, texts, budget):
    tokens = scorer.tokenized(texts)[0]
    backend = scorer.passes[0].backend
    cut = windows(np.diff(tokens.bounds_D1))
    forward = Forward(tokens.ids_T, tokens.bounds_D1, 1)
    seen_T = np.zeros(len(tokens.ids_T), dtype=int)
    for pack, ids_P, bounds_N1 in forward.packs(cut, budget):
        values_PH = backend.submit(ids_P, bounds_N1).values()
        for at, document in enumerate(cut.doc_W[pack]):
            own = slice(tokens.bounds_D1[document], tokens.bounds_D1[document + 1])
            seen_T[own] += 1
            found = values_PH[bounds_N1[at] : bounds_N1[at + 1]]
            np.testing.assert_allclose(found, alone(bundle, tokens.ids_T[own]), rtol=0, atol=1e-5)
    assert (seen_T == 1).all()


@settings(max_examples=15, deadline=None)
@given(batches=st.lists(documents, min_size=1, max_size=4))
def test_scores_do_not_depend_on_how_documents_come_in_batches(scorer, batches):
    requests = [Request(batch=at, tokens=scorer.tokenized(texts)) for at, texts in enumerate(batches)]
    meter = Meter()
    results = list(scorer.scored(requests, meter))
    assert [request.batch for request, _ in results] == list(range(len(batches)))
    whole = scorer([text for texts in batches for text in texts])["p"]
    parts = [scored["p"] for _, scored in results]
    assert np.abs(np.concatenate([part.scores_T.astype(int) for part in parts]) - whole.scores_T).max(initial=0) <= 1
    assert meter.tokens == len(whole.scores_T)


def test_the_same_documents_give_the_same_bytes_again(bundle, scorer):
    texts = ["aspirin treats the patient " * n for n in (1, 300, 7, 0, 90)]
    again = Scorer(scorer.settings)
    first, second = scorer(texts)["p"], again(texts)["p"]
    assert first.scores_T.tobytes() == second.scores_T.tobytes()
    assert first.document_score_D.tobytes() == second.document_score_D.tobytes()


def test_a_batch_without_tokens_passes_by_in_its_place(scorer):
    tokens = scorer.tokenized(["aspirin"])
    requests = [Request(batch="fault"), Request(batch="rows", tokens=tokens), Request(batch="fault again")]
    assert [(r.batch, list(scored)) for r, scored in scorer.scored(requests, Meter())] == [
        ("fault", []),
        ("rows", ["p"]),
        ("fault again", []),
    ]


def test_the_meter_counts_tokens_once_windows_as_often_as_they_are_read(bundle, scorer):
    text = "the patient " * 1500
    meter = Meter()
    ((_, scored),) = scorer.scored([Request(batch=0, tokens=scorer.tokenized([text]))], meter)
    reading = meter.reading()
    length = len(scored["p"].scores_T)
    cut = windows(np.array([length]), bundle.window, bundle.margin)
    assert reading.tokens == length
    assert reading.read == cut.lengths_W.sum() > length
    assert reading.computed >= reading.read
    assert reading.padding < 0.03
    assert 0 < reading.busy_s <= reading.wall_s
    assert 0 <= reading.idle < 1


def test_a_pack_of_the_torch_back_end_has_no_padding(bundle):
    backend = TorchPacked([bundle], dtype="float32", compile=False, token_budget=64)
    pending = backend.submit(np.array([5, 6, 7], np.int64), np.array([0, 2, 3], np.int64))
    assert pending.values().shape == (3, 2)
    assert pending.values().dtype == np.float32
    assert pending.computed == 3
