"""A bundle with other thresholds: what stays, what changes, and what it says of the documents."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.planted import coarse, planted
from tokensieve.pretrain.errors import LeakError, Unreachable
from tokensieve.pretrain.measuring.calibrate import Goals, SmoothConfig, calibrate, choose_thresholds
from tokensieve.pretrain.measuring.goals import Goal
from tokensieve.pretrain.measuring.leaks import content_keys
from tokensieve.pretrain.measuring.measure import measure
from tokensieve.pretrain.measuring.model import bundle_model
from tokensieve.pretrain.measuring.reissue import reissue
from tokensieve.pretrain.measuring.sets import in_memory
from tokensieve.pretrain.measuring.thresholds import (
    CalibrationDocuments,
    bundle_levels,
    calibration_seen,
    keys_content,
    read_keys,
)
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.bundles.bundle_checks import BundleError
from tokensieve.udfs.labels.lexicon import learn


@pytest.fixture(scope="module")
def model(bundle):
    return bundle_model(bundle, device="cpu", dtype="float32", token_budget=256, threads=1)


@pytest.fixture(scope="module")
def made(bundle, model, tmp_path_factory):
    """The bundle, calibrated for a token share and a cascade on 18 documents."""
    measured = measure("calibration", in_memory(coarse(planted(18))), model, {})
    chosen = choose_thresholds(measured, {"token": Goal(share=0.3), "cascade": Goal(recall=0.8)})
    folder = tmp_path_factory.mktemp("bundles") / "calibrated"
    return reissue(bundle, folder, "calibrated", chosen, CalibrationDocuments.of(measured, "coarse")), chosen


def test_weights_and_encoder_id_stay_and_the_bundle_id_does_not(bundle, made):
    new, _ = made
    assert new.encoder_id == bundle.encoder_id
    assert new.bundle_id != bundle.bundle_id
    assert new.spec.name == "calibrated"
    for name in ("encoder.safetensors", "heads.safetensors", "tokenizer.json"):
        assert (new.path / name).read_bytes() == (bundle.path / name).read_bytes()


def test_the_thresholds_say_their_goal_what_they_achieve_and_on_which_documents(bundle, made):
    new, chosen = made
    token, cascade = new.spec.thresholds["token"], new.spec.cascade
    assert token.value == chosen["token"].threshold != bundle.spec.thresholds["token"].value
    assert token.goal == "0.3 of all units marked"
    assert "on 18 calibration documents (coarse): marked 0." in token.how
    assert (cascade.document_threshold, cascade.goal) == (chosen["cascade"].threshold, "recall at least 0.8")
    assert token.split == cascade.split == new.spec.calibration.sha256[:16]
    assert (new.spec.calibration.documents, new.spec.calibration.labels) == (18, "coarse")
    assert new.spec.calibration.prevalence["document"] == pytest.approx(1 / 3, abs=1e-6)
    assert new.spec.metrics["calibration.token.marked"] == pytest.approx(0.3, abs=0.03)
    assert new.spec.metrics["calibration.cascade.recall"] >= 0.8
    assert bundle_levels(new.spec) == {"token": chosen["token"].level, "document": 128}


def test_it_remembers_its_documents_by_content(made):
    new, _ = made
    (keys_K,) = read_keys(new).values()
    assert sorted(keys_K.tolist()) == sorted(content_keys(planted(18).texts).tolist())
    assert calibration_seen(new)[0].what == "choose its thresholds"


def test_a_report_on_its_documents_is_refused(made, model):
    new, _ = made
    again = replace(planted(18).where(np.arange(18) == 7), ids=["renamed"])
    with pytest.raises(LeakError, match="1 of 1 documents were used to choose its thresholds, the first is renamed"):
        measure("heldout", in_memory(again), model, {}, seen=calibration_seen(new))


def test_calibrated_again_it_keeps_the_documents_of_the_thresholds_that_stay(made, model, tmp_path):
    new, _ = made
    measured = measure("calibration", in_memory(coarse(planted(12, seed=5))), model, {})
    documents = CalibrationDocuments.of(measured, "coarse")
    chosen = choose_thresholds(measured, {"token": Goal(f1="balanced")})
    again = reissue(new, tmp_path / "again", "again", chosen, documents)
    assert again.spec.cascade == new.spec.cascade
    assert sum(map(len, read_keys(again).values())) == 18 + 12
    both = choose_thresholds(measured, {"token": Goal(f1="balanced"), "cascade": Goal(recall=0.8)})
    assert sum(map(len, read_keys(reissue(new, tmp_path / "both", "both", both, documents)).values())) == 12
    assert again.spec.metrics["calibration.cascade.recall"] == new.spec.metrics["calibration.cascade.recall"]
    assert "calibration.token.balanced_f1" in again.spec.metrics


def test_figures_of_the_old_threshold_do_not_stay(bundle, made, tmp_path):
    _, chosen = made
    measured = {"heldout.token.model.auroc": 0.9, "heldout.token.model.recall": 0.8, "x.balanced.f1": 0.7}
    before = replace(bundle, spec=bundle.spec.model_copy(update={"metrics": measured}))
    documents = CalibrationDocuments(keys_K=np.array([1], dtype=np.uint64), data=made[0].spec.calibration)
    metrics = reissue(before, tmp_path / "new", "new", {"token": chosen["token"]}, documents).spec.metrics
    assert metrics["heldout.token.model.auroc"] == 0.9
    assert {key for key in metrics if not key.startswith("calibration.")} == {"heldout.token.model.auroc"}


def test_the_card_says_that_its_figures_are_of_the_old_thresholds(bundle, made):
    card = (made[0].path / "README.md").read_text()
    assert card.startswith(f"> The classifier of bundle {bundle.spec.name} `{bundle.bundle_id}` with other thresholds")
    assert card.endswith((bundle.path / "README.md").read_text())


def test_a_goal_out_of_reach_names_its_threshold(model):
    measured = measure("calibration", in_memory(coarse(planted(6))), model, {})
    with pytest.raises(Unreachable, match=r"goal of the document threshold: share 0\.01 cannot be met"):
        choose_thresholds(measured, {"document": Goal(share=0.01)})


def test_a_recipe_s_calibration_has_thresholds_levels_and_baselines_from_one_pass(model):
    documents = coarse(planted(30))
    words = learn(documents.texts, documents.positive_D)
    goals = Goals(cascade=Goal(recall=0.9))
    made = calibrate(documents, model, words, SmoothConfig(small=[0, 2], passage=6), goals)
    assert set(made.thresholds) == {"token", "document"}
    assert made.cascade is not None
    assert made.levels["token"]["model"] == made.chosen["token"].level
    assert set(made.levels["document"]) == {"model", "word", "lexicon", "passage"}
    assert [words.smooth for words in made.baselines.lexicons.values()] in ([0, 0, 6], [0, 2, 6])
    assert made.documents.data.documents == 30


def test_keys_are_written_the_same_in_any_order():
    keys_K = np.array([2**64 - 1, 5], dtype=np.uint64)
    assert keys_content({"b": keys_K, "a": keys_K[:1]}) == keys_content({"a": keys_K[:1], "b": keys_K[::-1]})
    assert b"ffffffffffffffff" in keys_content({"a": keys_K})


def test_a_changed_file_of_documents_is_refused_like_any_other(made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made[0].path, copy)
    (copy / "calibration.json").write_text("{}")
    with pytest.raises(BundleError, match=r"calibration.json is not the file"):
        Bundle.load(copy)
