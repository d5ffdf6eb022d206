import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bundles import random_bundle
from tokensieve.udfs.packing.windows import runs
from tokensieve.udfs.scores.stored_scores import probabilities
from tokensieve.udfs.scoring.batch_group import Request
from tokensieve.udfs.scoring.cascade import Cascade, Sampling, probes, scanned, stretches
from tokensieve.udfs.scoring.meter import Meter
from tokensieve.udfs.scoring.scorer import Scorer, ScorerSettings

TEXTS = ["a short text", "The patient was given aspirin for a headache. " * 40, "", "Stars burn hydrogen. " * 60]


def cascade(threshold: float = 0.5, **shape: float) -> Cascade:
    return Cascade(**{"share": 0.06, "stretch": 16, "least": 4} | shape, thresholds=(("p", threshold),))  # type: ignore


def test_stretches_are_evenly_spaced_and_a_short_document_has_none():
    cut = stretches(np.array([100, 1000, 2]), cascade(share=0.03))
    assert cut.doc_W.tolist() == [1, 1, 1, 1]
    assert cut.start_W.tolist() == [123, 369, 615, 861]
    assert cut.lengths_W.tolist() == [16] * 4
    assert stretches(np.array([129]), cascade()).start_W.tolist() == [14, 42, 70, 98]
    assert len(stretches(np.array([128]), cascade()).doc_W) == 0  # half of it


@given(
    lengths=st.lists(st.integers(0, 5000), max_size=20),
    share=st.floats(0.001, 0.6),
    stretch=st.integers(1, 64),
    least=st.integers(1, 9),
)
def test_stretches_lie_inside_their_documents_and_never_overlap(lengths, share, stretch, least):
    cut = stretches(np.array(lengths, dtype=np.int64), cascade(share=share, stretch=stretch, least=least))
    for document, length in enumerate(lengths):
        own = cut.doc_W == document
        start, stop = cut.start_W[own], cut.stop_W[own]
        assert (start >= 0).all()
        assert (stop <= length).all()
        assert (start[1:] >= stop[:-1]).all()
        assert own.sum() == 0 or (own.sum() >= least and own.sum() * stretch < length / 2)


def test_a_probe_is_the_mean_probability_over_the_stretches_alone():
    lengths_D = np.array([40, 3])
    cut = stretches(lengths_D, cascade(stretch=2, least=2))
    assert cut.start_W.tolist() == [9, 28]
    scores_T = np.zeros(43, dtype=np.uint8)
    scores_T[[9, 10, 28]] = 255
    probe_D = probes(scores_T, np.array([0, 40, 43]), cut)
    low, high = probabilities(np.array([0, 255], dtype=np.uint8))
    assert probe_D[0] == pytest.approx((3 * high + low) / 4)
    assert np.isnan(probe_D[1])


def test_one_policy_suffices_for_a_scan_and_no_probe_means_a_scan():
    probe_PD = np.array([[0.1, 0.6, 0.1, np.nan], [0.1, 0.1, 0.3, np.nan]], dtype=np.float32)
    two = Cascade(share=0.1, stretch=8, least=1, thresholds=(("b", 0.3), ("a", 0.5)))
    assert scanned(probe_PD, ["a", "b"], two).tolist() == [False, True, True, True]


def test_a_sample_is_a_part_of_the_hash_and_does_not_depend_on_the_other_documents():
    ids = [f"doc-{n}" for n in range(4000)]
    first, second = (Sampling(first=at, last=at + 0.1, seed=3).chosen(ids) for at in (0.0, 0.1))
    assert 300 < first.sum() < 500
    assert 300 < second.sum() < 500
    assert not (first & second).any()
    assert Sampling(first=0.0, last=0.1, seed=3).chosen(ids[7:9]).tolist() == first[7:9].tolist()
    assert Sampling(first=0.0, last=1.0, seed=3).chosen(ids).all()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return random_bundle(tmp_path_factory.mktemp("cascade") / "b", texts=TEXTS, head_scale=2.0)


def score(bundle, cascade, full=None):
    settings = ScorerSettings(
        bundles=(("p", str(bundle.path), bundle.bundle_id),), device="cpu", dtype="float32", cascade=cascade
    )
    scorer, meter = Scorer(settings), Meter()
    full_D = None if full is None else np.array(full)
    ((_, scored),) = scorer.scored([Request(batch=0, tokens=scorer.tokenized(TEXTS), full_D=full_D)], meter)
    return scored["p"], meter.reading()


def test_a_scanned_document_has_the_scores_of_a_full_scan_and_a_skipped_one_those_of_its_stretches(bundle):
    whole, _ = score(bundle, None)
    none, meter = score(bundle, cascade(0.999999))
    bounds_D1 = whole.tokens.bounds_D1
    assert np.isnan(none.probe_D).tolist() == [True, False, True, False]
    assert none.skipped_D.tolist() == [False, True, False, True]
    assert none.scores_T[: bounds_D1[1]].tolist() == whole.scores_T[: bounds_D1[1]].tolist()
    assert meter.skipped == bounds_D1[2] - bounds_D1[1] + bounds_D1[4] - bounds_D1[3]
    cut = stretches(np.diff(bounds_D1), cascade())
    read = np.zeros(len(none.scores_T), dtype=bool)
    read[runs(bounds_D1[cut.doc_W] + cut.start_W, cut.lengths_W)] = True
    read[: bounds_D1[1]] = True
    assert (none.scores_T[~read] == 0).all()
    assert (none.scores_T[read] != 0).any()
    every, _ = score(bundle, cascade(1e-9))
    assert every.scores_T.tolist() == whole.scores_T.tolist()
    assert not every.skipped_D.any()
    assert every.document_score_D.tobytes() == whole.document_score_D.tobytes()


def test_documents_of_a_sample_are_scanned_whatever_their_probe_says(bundle):
    whole, _ = score(bundle, None)
    some, _ = score(bundle, cascade(0.999999), full=[False, True, False, False])
    assert some.skipped_D.tolist() == [False, False, False, True]
    at = slice(*whole.tokens.bounds_D1[1:3])
    assert some.scores_T[at].tolist() == whole.scores_T[at].tolist()
    assert not np.isnan(some.probe_D[1])
