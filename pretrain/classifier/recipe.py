"""Fits a classifier by a recipe: labelled documents in, a bundle with its card out.

One file to read for the order of the steps; every step is a file beside it. Nothing here is specific to medicine but
the configuration. Not part of the scoring path: a platform that scores with a finished bundle never runs it.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from tokensieve.pretrain.classifier.card import card
from tokensieve.pretrain.classifier.config import FitConfig, FrozenHead
from tokensieve.pretrain.classifier.figures import Figures, check_sets, measure_all, seen_documents
from tokensieve.pretrain.classifier.fit_heads import fit_frozen
from tokensieve.pretrain.classifier.fit_jointly import fit_finetune, fit_joint
from tokensieve.pretrain.classifier.fitted import Fitted
from tokensieve.pretrain.classifier.teacher import Teacher
from tokensieve.pretrain.labelled.corpus import Corpus, read_corpus
from tokensieve.pretrain.labelled.labels import provenance
from tokensieve.pretrain.measuring.calibrate import Calibration, calibrate
from tokensieve.pretrain.measuring.model import heads_model
from tokensieve.pretrain.measuring.reissue import record_documents
from tokensieve.udfs.bundles.bundle import Bundle, save
from tokensieve.udfs.bundles.bundle_spec import BundleDraft, FitRecord
from tokensieve.udfs.labels.lexicon import learn


def fit(
    config: FitConfig, report: Callable[[str], None] = print, *, definition_id: str | None = None
) -> dict[str, int]:
    """Trains, calibrates, measures and writes the bundle `config.out`; returns counts of documents and tokens.

    Args:
        definition_id: the hash of the policy `config.policy`, which label sets must carry; None leaves it unchecked.

    Raises:
        LabelError, EncoderError, BundleError: labels, encoder or teacher are not what the recipe says.
        FileNotFoundError, FitError, ReportError: a step cannot be done with these documents; the message says why.
    """
    torch.set_num_threads(config.threads)
    corpus = _taught(config, read_corpus(config.corpus, definition_id))
    report(
        f"{len(corpus.training)} training, {len(corpus.calibration)} calibration, {len(corpus.heldout)} held-out "
        f"documents; left out: {corpus.left_out}"
    )
    seen = seen_documents(corpus)
    check_sets(config.spans, seen)
    with tempfile.TemporaryDirectory() as folder:
        fitted = _method(config)(config, corpus, Path(folder), report)
        model = heads_model(fitted.tokenizer, fitted.reader())
        report("calibrating")
        words = learn(corpus.training.texts, corpus.training.positive_D)
        judged = corpus.label_sets.get("teacher") or corpus.label_sets.get("train", "coarse")
        calibrated = calibrate(corpus.calibration, model, words, config.smooth, config.goals, labels=judged)
        report("measuring")
        figures = measure_all(corpus.heldout, config.spans, model, calibrated, seen, config.seed)
        bundle = _save(config, corpus, fitted, calibrated, figures, definition_id)
    report(f"{bundle.path} {bundle.bundle_id}")
    for line in figures.lines():
        report(line)
    return {
        "training_documents": len(corpus.training),
        "calibration_documents": len(corpus.calibration),
        "heldout_documents": len(corpus.heldout),
        "left_out_documents": sum(corpus.left_out.values()),
        "tokens_drawn": fitted.tokens,
    }


def _method(config: FitConfig) -> Callable[[FitConfig, Corpus, Path, Callable[[str], None]], Fitted]:
    if isinstance(config.head, FrozenHead):
        return fit_frozen
    return fit_joint if config.head.method == "joint" else fit_finetune


def _taught(config: FitConfig, corpus: Corpus) -> Corpus:
    """The corpus under the teacher's labels, where there is one; held-out documents keep their own."""
    if config.teacher is None:
        return corpus
    teacher = Teacher(config.teacher, config.threads, config.device)
    training = teacher.label(corpus.training, soft=config.teacher.soft)
    calibration = teacher.label(corpus.calibration, soft=False)
    return replace(
        corpus,
        training=training.documents,
        calibration=calibration.documents,
        label_sets={**corpus.label_sets, "teacher": f"{teacher.bundle.spec.name} {teacher.bundle.bundle_id}"},
        left_out={**corpus.left_out, "not_scored_by_teacher": training.unknown + calibration.unknown},
    )


def _save(
    config: FitConfig,
    corpus: Corpus,
    fitted: Fitted,
    calibrated: Calibration,
    figures: Figures,
    definition_id: str | None,
) -> Bundle:
    draft = BundleDraft(
        name=config.name,
        policy=config.policy,
        definition_id=definition_id,
        encoder=fitted.config,
        heads=fitted.specs,
        window=fitted.walk.window,
        margin=fitted.walk.margin,
        thresholds=calibrated.thresholds,
        cascade=calibrated.cascade,
        calibration=calibrated.documents.data,
        training_data=provenance(corpus.training),
        fit=FitRecord(
            method=config.head.method,
            encoder=fitted.name,
            labels=corpus.label_sets,
            splits=corpus.split_hashes(),
            chosen=fitted.chosen,
            trials=fitted.trials,
        ),
        metrics=figures.metrics() | calibrated.metrics,
    )
    saved = save(
        config.out,
        draft,
        encoder=fitted.encoder.state_dict(),
        heads=fitted.heads,
        tokenizer=fitted.tokenizer.path,
        card=card(draft, figures, fitted.tokens, config),
    )
    return record_documents(saved, calibrated.documents)
