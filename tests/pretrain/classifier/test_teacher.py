"""A bundle as a labeller: its scores, as bytes, on any tokenizer."""

from dataclasses import replace

import numpy as np
import pytest

from tests.bundles import random_bundle, score_texts
from tests.corpora import sentence
from tests.planted import coarse, planted
from tokensieve.pretrain.classifier.teacher import Teacher, TeacherConfig, value_spans
from tokensieve.pretrain.labelled.labels import targets
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.bundles.bundle_checks import BundleError
from tokensieve.udfs.scores.stored_scores import grid_threshold, probabilities


@pytest.fixture(scope="module")
def documents():
    made = coarse(planted(5))
    return replace(made, texts=[" ".join(sentence(d + at) for at in range(4)) for d in range(5)])


def _teacher(bundle: Bundle, **settings: object) -> Teacher:
    return Teacher(TeacherConfig.model_validate({"bundle": str(bundle.path), **settings}), threads=1)


def test_soft_labels_are_the_probabilities_that_scoring_stores(bundle, documents):
    taught = _teacher(bundle).label(documents, soft=True)
    scored = score_texts(bundle, documents.texts)
    value_T, known_T = targets(taught.documents, scored.tokens)
    some_T = scored.tokens.bytes_T > 0
    np.testing.assert_allclose(value_T[some_T], probabilities(scored.scores_T)[some_T], atol=1e-6)
    assert known_T.all()
    assert taught.documents.labels is not None
    own = [one.document for one in taught.documents.labels]
    assert own == pytest.approx(scored.document_score_D.tolist())


def test_hard_labels_are_the_bundles_decisions(bundle, documents):
    scored = score_texts(bundle, documents.texts)
    some_T = scored.tokens.bytes_T > 0
    for threshold in (None, 0.6):
        taught = _teacher(bundle, threshold=threshold).label(documents, soft=False)
        wanted_T = scored.scores_T >= grid_threshold(threshold or bundle.spec.thresholds["token"].value)
        assert targets(taught.documents, scored.tokens)[0][some_T].tolist() == wanted_T[some_T].astype(float).tolist()
    assert 0 < wanted_T.mean() < 1


def test_a_document_without_a_score_is_unknown_and_left_out(tmp_path, documents):
    broken = random_bundle(tmp_path / "broken", head_scale=float("nan"), texts=documents.texts)
    assert _teacher(broken).label(documents, soft=True).unknown == 5
    empty = replace(documents, texts=[*documents.texts[:4], ""])
    whole = random_bundle(tmp_path / "whole", texts=documents.texts)
    taught = _teacher(whole).label(empty, soft=True)
    assert (taught.unknown, len(taught.documents)) == (1, 4)


def test_neighbouring_tokens_of_one_value_become_one_span():
    value_T = np.array([0.5, 0.5, 0.5, 0.0, 1.0, 1.0], dtype=np.float32)
    spans_N2, value_N = value_spans(value_T, np.array([2, 0, 3, 4, 1, 1]))
    assert spans_N2.tolist() == [[0, 5], [9, 11]]
    assert value_N.tolist() == [0.5, 1.0]
    empty, none = value_spans(np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert (empty.shape, none.shape) == ((0, 2), (0,))


def test_a_missing_teacher_is_named(tmp_path):
    with pytest.raises(BundleError, match="nowhere"):
        Teacher(TeacherConfig(bundle=str(tmp_path / "nowhere")), threads=1)
