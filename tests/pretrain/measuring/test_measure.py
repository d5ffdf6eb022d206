"""Measuring: the scorer of the jobs, unknown labels left out, and documents that were used before refused."""

from dataclasses import replace

import numpy as np
import pytest

from tests.bundles import random_bundle
from tests.planted import coarse, planted
from tokensieve.pretrain.errors import LeakError, ReportError
from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.pretrain.measuring.leaks import Seen, content_keys
from tokensieve.pretrain.measuring.measure import measure
from tokensieve.pretrain.measuring.model import Model, Reading, bundle_model, document_levels, heads_model
from tokensieve.pretrain.measuring.sets import in_memory
from tokensieve.udfs.labels.labels import DocumentLabels
from tokensieve.udfs.labels.lexicon import learn
from tokensieve.udfs.scores.stored_scores import quantize_logits
from tokensieve.udfs.scoring.scorer import Scorer, ScorerSettings
from tokensieve.udfs.tokenizing.tokenizer import Tokenized


@pytest.fixture(scope="module")
def documents() -> Documents:
    return planted(9)


@pytest.fixture(scope="module")
def model(bundle) -> Model:
    return bundle_model(bundle, device="cpu", dtype="float32", token_budget=256, threads=1)


def letters(scores: dict[str, float]) -> Model:
    """A classifier that scores every letter by itself, and a document by its first."""

    def read(texts):
        flat = "".join(texts)
        logits_T = np.array([scores[letter] for letter in flat])
        tokens = Tokenized(
            ids_T=np.zeros(len(flat), dtype=np.int32),
            bytes_T=np.ones(len(flat), dtype=np.int32),
            bounds_D1=np.cumsum([0, *map(len, texts)]).astype(np.int64),
            failed={},
        )
        first_D = np.array([scores[text[0]] if text else np.nan for text in texts])
        return Reading(tokens=tokens, levels_T=quantize_logits(logits_T), document_D=first_D)

    return read


def test_a_bundle_is_read_as_a_scoring_job_reads_it(bundle, model, documents):
    settings = ScorerSettings(
        bundles=((bundle.spec.policy, str(bundle.path), bundle.bundle_id),),
        device="cpu",
        dtype="float32",
        token_budget=64,
        threads=1,
    )
    scored = Scorer(settings)(documents.texts)[bundle.spec.policy]
    reading = model(documents.texts)
    assert np.abs(reading.levels_T.astype(int) - scored.scores_T).max() <= 1
    assert 1 / (1 + np.exp(-reading.document_D)) == pytest.approx(scored.document_score_D, abs=1e-5)


def test_every_token_and_document_is_counted_once(model, documents):
    measured = measure("set", in_memory(coarse(documents)), model, {})
    tokens, whole = measured.counts["token"]["model"], measured.counts["document"]["model"]
    assert len(measured) == 9
    assert tokens.positive_DQ.sum() + tokens.negative_DQ.sum() == len(model(documents.texts).levels_T)
    assert (int(whole.positive_DQ.sum()), int(whole.negative_DQ.sum()), int(whole.unknown_DQ.sum())) == (3, 6, 0)
    assert measured.domains.tolist() == documents.domains


def test_tokens_of_unknown_label_are_left_out_and_soft_labels_are_cut_at_one_half():
    span = np.array([[0, 1], [2, 3]])
    labels = DocumentLabels(
        spans_N2=span, value_N=np.array([0.5, 0.4], dtype=np.float32), unknown_M2=np.array([[3, 4]]), document=1.0
    )
    one = replace(planted(1), texts=["abab"], labels=[labels])
    measured = measure("set", in_memory(one), letters({"a": 1.0, "b": -1.0}), {})
    counts = measured.counts["token"]["model"]
    parts = (counts.positive_DQ, counts.negative_DQ, counts.unknown_DQ)
    assert [np.flatnonzero(part[0]).tolist() for part in parts] == [[144], [112, 144], [112]]
    assert counts.negative_DQ[0, [112, 144]].tolist() == [1, 1]


def test_a_document_without_tokens_has_no_score_and_is_unknown():
    some = replace(coarse(planted(2)), texts=["", "a"])
    counts = measure("set", in_memory(some), letters({"a": 1.0}), {}).counts["document"]["model"]
    assert [int(part.sum()) for part in (counts.positive_DQ, counts.negative_DQ, counts.unknown_DQ)] == [0, 1, 1]


def test_baselines_are_measured_on_the_same_tokens(model, documents):
    words = learn(documents.texts, documents.positive_D)
    measured = measure("set", in_memory(documents), model, {"word": words})
    for unit in ("token", "document"):
        model_D, word_D = (measured.counts[unit][who].positive_DQ.sum(axis=1).tolist() for who in ("model", "word"))
        assert model_D == word_D
    positive_Q, negative_Q = measured.counts["token"]["word"].pooled
    assert np.average(np.arange(256), weights=positive_Q) > 10 + np.average(np.arange(256), weights=negative_Q)


def test_a_document_that_was_used_before_is_refused_under_any_id(model, documents):
    renamed = replace(documents, ids=[f"other-{at}" for at in range(9)])
    used = Seen(what="choose its thresholds", keys_K=content_keys([documents.texts[5]]))
    with pytest.raises(LeakError, match=r"heldout: 1 of 9 documents were used to choose its thresholds, .* other-5"):
        measure("heldout", in_memory(renamed), model, {}, seen=[used])
    other = Seen(what="choose its thresholds", keys_K=content_keys([documents.texts[5] + " "]))
    assert len(measure("heldout", in_memory(renamed), model, {}, seen=[other])) == 9


def test_a_source_may_leave_documents_out_that_were_used_before(model, documents):
    used = Seen(what="train it", keys_K=content_keys(documents.texts[2:5]))
    chunks = [replace(chunk, used_before="leave_out") for chunk in in_memory(documents)]
    measured = measure("heldout", chunks, model, {}, seen=[used])
    assert measured.left_out == {"used to train it": 3}
    assert measured.keys_D.tolist() == content_keys([*documents.texts[:2], *documents.texts[5:]]).tolist()


def test_a_classifier_that_breaks_is_named(tmp_path, documents):
    broken = random_bundle(tmp_path / "broken", head_scale=float("nan"), texts=documents.texts)
    read = bundle_model(broken, device="cpu", dtype="float32", token_budget=256, threads=1)
    with pytest.raises(ReportError, match="gave NaN or infinity for 9 of 9 texts"):
        measure("set", in_memory(documents), read, {})


def test_a_set_without_documents_is_refused(model, documents):
    nothing = documents.where(np.zeros(9, dtype=bool))
    with pytest.raises(ReportError, match="empty: no document is left to measure on"):
        measure("empty", in_memory(nothing), model, {})


def test_heads_without_a_bundle_are_read_the_same_way(bundle, documents):
    tokenizer = bundle.tokenizer()

    def heads(tokens: Tokenized) -> np.ndarray:
        return np.stack([np.full(len(tokens.ids_T), 0.5), tokens.ids_T], axis=1)

    reading = heads_model(tokenizer, heads)([*documents.texts[:2], ""])
    tokens = tokenizer.encode(documents.texts[:2])
    assert set(reading.levels_T.tolist()) == {136}
    assert reading.document_D[0] == pytest.approx(tokens.ids_T[: tokens.bounds_D1[1]].mean())
    assert np.isnan(reading.document_D[2])


def test_a_document_reaches_a_level_exactly_when_its_score_does():
    logits_D = np.array([0.0, 0.05, 0.0625, -0.001, 99.0, -99.0, np.nan])
    assert document_levels(logits_D).tolist() == [128, 128, 129, 127, 255, 0, 0]
