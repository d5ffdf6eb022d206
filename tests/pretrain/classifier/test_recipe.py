"""The whole recipe on made-up corpora, by every method: documents in, a bundle that scores out."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError

from tests.bundles import score_texts
from tests.planted import PLANTED, planted, tiny_encoder, write_documents, write_label_set
from tokensieve.jobs.config.load import load_section
from tokensieve.pretrain.classifier.config import FitConfig
from tokensieve.pretrain.classifier.recipe import fit
from tokensieve.pretrain.classifier.weak_to_strong import fit_weak_to_strong
from tokensieve.pretrain.errors import LeakError
from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.labels.labels import LabelError

FRESH = {"type": "sliding", "dim": 16, "layers": 2, "heads": 2, "hidden": 32, "reach": 8}
SPLICE = {"rows": 4, "row_tokens": 64, "longest": 24}
TRAIN = {"steps": 60, "learning_rate": 1e-2}
Recipe = Callable[..., FitConfig]


def _joint(**changes: Any) -> dict[str, Any]:
    settings = {"vocabulary": 400, "encoder": FRESH, "splice": SPLICE, "train": TRAIN, "document_head_documents": 20}
    return {**settings, **changes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A corpus of 120 documents with a label set, held-out documents, and a pretrained encoder."""
    folder = tmp_path_factory.mktemp("corpus")
    for split, count, seed in (("train", 120, 1), ("heldout", 30, 2)):
        documents = planted(count, seed)
        write_documents(folder, split, documents)
        write_label_set(folder / "labels" / f"spans-{split}", documents)
    tiny_encoder(folder / "tiny", planted(60, 1).texts)
    return folder


@pytest.fixture(scope="module")
def recipe(folder) -> Recipe:
    """`recipe(name, token_labels=, corpus=, **sections)`."""

    def make(
        name: str, *, token_labels: bool = False, corpus: dict[str, Any] | None = None, **sections: Any
    ) -> FitConfig:
        own: dict[str, Any] = {
            "train": str(folder / "train-*.parquet"),
            "train_labels": folder / "labels-train.parquet",
            "heldout": str(folder / "heldout-*.parquet"),
            "heldout_labels": folder / "labels-heldout.parquet",
            "licenses": ["CC0 1.0"],
            "positive_domain": "medicine",
            "calibration": 0.25,
        }
        if token_labels:
            own |= {f"{part}_label_set": folder / "labels" / f"spans-{part}" for part in ("train", "heldout")}
        settings = {
            "name": name,
            "policy": "medicine",
            "out": folder / name,
            "threads": 1,
            "corpus": own | (corpus or {}),
            "smooth": {"small": [0, 2], "passage": 6},
        }
        return FitConfig.model_validate({**settings, **sections})

    return make


def _silent(line: str) -> None:
    pass


def _separation(bundle: Bundle, documents: Documents) -> float:
    """Mean grid score of the tokens that lie in planted words minus that of the others."""
    scored, inside = score_texts(bundle, documents.texts), []
    for d, text in enumerate(documents.texts):
        ends = np.cumsum(scored.tokens.bytes_T[scored.tokens.bounds_D1[d] : scored.tokens.bounds_D1[d + 1]])
        word_ends = np.cumsum([len(word) + 1 for word in text.split(" ")])
        words = np.array(text.split(" "))[np.searchsorted(word_ends, ends - 1, side="right")]
        inside.append(np.isin(words, PLANTED))
    inside_T = np.concatenate(inside)
    return float(scored.scores_T[inside_T].mean() - scored.scores_T[~inside_T].mean())


# --- joint ---


@pytest.fixture(scope="module")
def joint(folder, recipe) -> tuple[Path, dict[str, int], list[str]]:
    lines: list[str] = []
    return folder / "joint", fit(recipe("joint", **_joint()), lines.append), lines


def test_fit_writes_a_bundle_that_loads_and_tells_the_classes_apart(joint):
    path, counts, _ = joint
    bundle = Bundle.load(path)
    assert counts["heldout_documents"] == 30
    assert counts["training_documents"] + counts["calibration_documents"] == 120
    assert bundle.spec.metrics["heldout.token.model.auroc"] > 0.7
    assert bundle.spec.metrics["heldout.document.model.auroc"] > 0.95
    assert _separation(bundle, planted(9, 7)) > 16


def test_marked_texts_that_were_trained_on_stop_the_recipe_before_it_trains(recipe, folder, tmp_path):
    texts = [text for text in planted(120, 1).texts if not text.endswith(" 1-1")]
    pq.write_table(pa.table({"text": texts, "spans": [[]] * len(texts)}), tmp_path / "marked.parquet")
    lines: list[str] = []
    with pytest.raises(LeakError, match=r"craft\.disease_in_biology: .* documents were used to train it"):
        fit(recipe("leaky", **_joint(spans={"craft": tmp_path / "marked.parquet"})), lines.append)
    assert not any(line.startswith("step ") for line in lines)


def test_progress_is_reported(joint):
    steps = [line for line in joint[2] if line.startswith("step ")]
    assert len(steps) == 1
    assert steps[0].startswith("step 60/60  loss 0.")


def test_card_and_bundle_state_the_same_figures(joint):
    card, spec = (joint[0] / "README.md").read_text(), json.loads((joint[0] / "bundle.json").read_text())
    assert f"{spec['metrics']['heldout.token.model.auroc']:.3f} [" in card
    assert "made up | CC0 1.0" in card


def test_fit_again_gives_the_same_bundle(joint, recipe, tmp_path):
    again = recipe("joint", **_joint()).model_copy(update={"out": tmp_path / "joint"})
    fit(again, _silent)
    assert Bundle.load(tmp_path / "joint").bundle_id == Bundle.load(joint[0]).bundle_id


def test_token_labels_train_better_than_the_labels_of_documents(joint, recipe, folder):
    fit(recipe("joint-tokens", token_labels=True, **_joint()), _silent)
    coarse_, own = (_separation(Bundle.load(path), planted(9, 7)) for path in (joint[0], folder / "joint-tokens"))
    assert own > coarse_ + 8


# --- heads on frozen features ---


def _logistic(folder: Path, **changes: Any) -> dict[str, Any]:
    head = {"method": "logistic", "c": [0.1, 10.0], "draw": {"per_window": 32}}
    return {"encoder": {"pretrained": folder / "tiny" / "encoder"}, "head": {**head, **changes}}


def test_a_probe_on_a_frozen_encoder_beats_chance_by_far_and_is_cut_above_its_layer(recipe, folder):
    lines: list[str] = []
    counts = fit(recipe("probe", token_labels=True, **_logistic(folder)), lines.append)
    bundle = Bundle.load(folder / "probe")
    assert bundle.spec.metrics["heldout.token.model.auroc"] > 0.9
    assert bundle.spec.metrics["heldout.document.model.auroc"] > 0.9
    tried = [line for line in lines if line.startswith("layers [")]
    assert len(tried) == 6
    assert bundle.spec.encoder["layers"] in ([1], [2], [3])
    assert counts["tokens_drawn"] > 100
    assert _separation(bundle, planted(9, 7)) > 40


def test_the_same_probe_is_the_same_bytes(recipe, folder, tmp_path):
    ids = []
    for out in ("one", "two"):
        settings = recipe("probe", token_labels=True, **_logistic(folder)).model_copy(update={"out": tmp_path / out})
        fit(settings, _silent)
        ids.append(Bundle.load(tmp_path / out).bundle_id)
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    "head",
    [
        {"method": "mlp", "hidden": 16, "learning_rate": 0.01, "batch": 128},
        {"method": "multilayer", "c": [1.0], "most": 2},
    ],
)
def test_other_heads_score_through_the_bundle_as_they_were_measured(recipe, folder, head):
    sections = {"encoder": {"pretrained": folder / "tiny" / "encoder"}, "head": head}
    fit(recipe(head["method"], token_labels=True, **sections), _silent)
    bundle = Bundle.load(folder / head["method"])
    assert bundle.spec.metrics["heldout.token.model.auroc"] > 0.85
    assert _separation(bundle, planted(9, 7)) > 25


def test_labels_of_unknown_tokens_change_nothing(recipe, folder, tmp_path):
    """Two label sets that differ only in documents of which every token is unknown, and in what they say of them."""
    documents = planted(120, 1)
    assert documents.labels is not None
    ids = []
    for name, guess in (("low", 0.0), ("high", 1.0)):
        labels = [
            replace(one, spans_N2=one.spans_N2[:0], unknown_M2=np.array([[0, len(text.encode())]]), document=None,
                    note=f"unsure {guess}") if at % 5 == 0 else one
            for at, (one, text) in enumerate(zip(documents.labels, documents.texts, strict=True))
        ]  # fmt: skip
        path = write_label_set(tmp_path / name, replace(documents, labels=labels))
        settings = recipe("unknown", token_labels=True, corpus={"train_label_set": path}, **_logistic(folder))
        counts = fit(settings.model_copy(update={"out": tmp_path / f"{name}-bundle"}), _silent)
        ids.append(Bundle.load(tmp_path / f"{name}-bundle").bundle_id)
        assert counts["left_out_documents"] == 24
    assert ids[0] == ids[1]


def test_fine_tuning_changes_the_encoder_and_keeps_its_tokenizer(recipe, folder):
    encoder = {"pretrained": folder / "tiny" / "encoder", "layers": [2]}
    head = {"method": "finetune", "encoder_learning_rate": 1e-3}
    sections = {"encoder": encoder, "head": head, "splice": SPLICE, "train": TRAIN, "document_head_documents": 20}
    fit(recipe("finetune", token_labels=True, **sections), _silent)
    fit(recipe("probe-2", token_labels=True, **_logistic(folder) | {"encoder": encoder}), _silent)
    tuned, probe = (Bundle.load(folder / name) for name in ("finetune", "probe-2"))
    assert tuned.spec.tokenizer.sha256 == probe.spec.tokenizer.sha256
    assert tuned.encoder_id != probe.encoder_id
    assert tuned.spec.encoder == probe.spec.encoder
    assert _separation(tuned, planted(9, 7)) > 40


# --- teachers ---


def test_a_student_from_scratch_agrees_with_its_teacher(recipe, folder):
    fit(recipe("teacher", token_labels=True, **_logistic(folder)), _silent)
    student = _joint(train={**TRAIN, "steps": 150}, teacher={"bundle": str(folder / "teacher"), "soft": True})
    fit(recipe("student", **student), _silent)
    documents = planted(12, 9)
    teacher, pupil = (Bundle.load(folder / name) for name in ("teacher", "student"))
    assert pupil.spec.encoder["type"] == "sliding"
    marks = []
    for bundle in (teacher, pupil):
        scored, wordwise = score_texts(bundle, documents.texts), []
        for d, text in enumerate(documents.texts):
            part = slice(scored.tokens.bounds_D1[d], scored.tokens.bounds_D1[d + 1])
            ends = np.cumsum(scored.tokens.bytes_T[part])
            words = np.cumsum([len(word) + 1 for word in text.split(" ")]) - 1
            wordwise.append(scored.scores_T[part][np.searchsorted(ends, words - 1, side="right")])
        marks.append(np.concatenate(wordwise))
    assert np.corrcoef(marks[0], marks[1])[0, 1] > 0.8


def test_weak_labels_recover_a_part_of_the_gap(recipe, folder, tmp_path):
    """A weak lesson (coarse labels would be another): few steps; the strong one learns longer."""
    weak = recipe("weak", token_labels=True, **_joint(train={**TRAIN, "steps": 6, "learning_rate": 3e-3}))
    strong = recipe("strong", token_labels=True, **_joint(train={**TRAIN, "steps": 150}))
    found = fit_weak_to_strong(weak, strong, tmp_path, _silent, metrics=["heldout.token.model.auroc"])[0]
    assert found.weak < found.strong
    assert 0 < found.value <= 1.05
    splits = {name: Bundle.load(tmp_path / name) for name in ("weak", "weak-to-strong", "strong")}
    ids = {name: bundle.spec.training_data[0].sha256 for name, bundle in splits.items()}
    assert ids["weak-to-strong"] == ids["strong"] != ids["weak"]


def test_weak_to_strong_compares_only_recipes_over_one_corpus(recipe, folder, tmp_path):
    weak, other = recipe("weak", **_joint()), recipe("strong", corpus={"calibration": 0.5}, **_joint())
    halved = recipe("weak", corpus={"half": "first"}, **_joint())
    with pytest.raises(ValueError, match="same section corpus"):
        fit_weak_to_strong(weak, other, tmp_path)
    with pytest.raises(ValueError, match=r"corpus\.half already"):
        fit_weak_to_strong(halved, halved, tmp_path)


# --- settings ---


def test_labels_of_another_policy_stop_the_recipe(recipe, folder):
    with pytest.raises(LabelError, match="but the recipe's policy is cd34"):
        fit(recipe("other", token_labels=True, **_logistic(folder)), _silent, definition_id="cd34")


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"encoder": FRESH, "stpes": 3}, "stpes"),
        ({"encoder": FRESH, "head": {"method": "logistic"}}, "logistic does not go with this encoder"),
        ({"encoder": {"bundle": "x"}}, "joint does not go with this encoder"),
        ({"encoder": {"bundle": "x"}, "head": {"method": "finetune"}}, "give encoder.layers as a list"),
        ({"encoder": {"bundle": "x"}, "head": {"method": "logistic"}, "train": {"steps": 3}}, "train is not read"),
        ({"encoder": {"bundle": "x"}, "head": {"c": [1]}}, "head.method is missing"),
        (
            {"encoder": FRESH, "teacher": {"bundle": "x"}, "target": {"floor": 1}},
            "target is not read with token labels",
        ),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(recipe, sections, why):
    with pytest.raises(ValidationError, match=why):
        recipe("refused", **sections)


def test_a_recipe_survives_being_written_down(recipe):
    config = recipe("joint", **_joint())
    assert FitConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize("name", ["medicine-tiny", "medicine-small", "medicine-modernbert", "medicine-distilled"])
def test_shipped_recipes_are_valid(repository, name):
    config = load_section(FitConfig, str(repository / "conf" / "classifiers" / f"{name}.yaml"))
    assert (config.name, config.policy) == (name, "medicine")


def test_the_shipped_bundle_is_of_its_recipe(repository):
    settings = OmegaConf.load(repository / "conf" / "classifiers" / "medicine-tiny.yaml")
    config = FitConfig.model_validate(OmegaConf.to_container(settings))
    bundle = Bundle.load(repository / config.out)
    assert (bundle.spec.name, bundle.spec.policy) == (config.name, config.policy)
    assert bundle.spec.encoder == (config.encoder.shape or {}) | {"vocab_size": config.vocabulary}
    assert {source.license for source in bundle.spec.training_data} <= set(config.corpus.licenses or ())
