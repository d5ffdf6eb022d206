"""Fits the bundled classifier from coarse document labels: documents in, a bundle with its card out.

One file to read for the order of the steps; every step is a file beside it. Nothing here is specific to medicine but
the configuration. Not part of the scoring path: a platform that scores with a finished bundle never runs it.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from pretrain.classifier.apply import MARGIN, WINDOW, pooled_features, token_values
from pretrain.classifier.calibrate import Calibration, SmoothConfig, calibrate
from pretrain.classifier.card import card
from pretrain.classifier.document_head import fit_document_head
from pretrain.classifier.figures import Figures, SpanFiles, measure_all
from pretrain.classifier.labels import Documents, content_share, provenance, read_documents
from pretrain.classifier.measure import document_labels, score
from pretrain.classifier.pools import TargetConfig, build_pools
from pretrain.classifier.splice import SpliceConfig, rows
from pretrain.classifier.topics import topic_embedding
from pretrain.classifier.trainer import TrainConfig, train
from pretrain.classifier.vocabulary import train_vocabulary
from udfs.bundle import Bundle, save
from udfs.bundle_spec import BundleDraft
from udfs.lexicon import learn
from udfs.tokenizer import ByteTokenizer, Tokenized


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusConfig(_Config):
    """Where the documents are. `train` and `heldout` are file patterns; paths are relative to the current folder.

    Attributes:
        licenses: licences of documents that may be trained on; documents under others are left out of training.
        positive_domain: the value of the sidecar's `domain` that the policy forbids.
        calibration: share of the train documents, by content hash, kept for choosing thresholds.
    """

    train: str
    train_labels: Path
    heldout: str
    heldout_labels: Path
    licenses: list[str]
    positive_domain: str
    calibration: float = Field(default=0.08, gt=0, lt=1)


class FitConfig(_Config):
    """The recipe's settings; `conf/classifiers/medicine-tiny.yaml` holds those of the bundled classifier.

    Attributes:
        out: the bundle's folder. vocabulary: size of the tokenizer to train.
        encoder: `type` and shape, without `vocab_size`.
        document_head_documents: training documents per class that the document head is fitted on.
    """

    name: str
    policy: str
    out: Path
    seed: int = 0
    threads: int = Field(default=2, ge=1)
    corpus: CorpusConfig
    spans: SpanFiles = SpanFiles()
    vocabulary: int = Field(default=8192, ge=257)
    encoder: dict[str, Any]
    splice: SpliceConfig = SpliceConfig()
    target: TargetConfig = TargetConfig()
    train: TrainConfig = TrainConfig()
    document_head_documents: int = Field(default=800, ge=2)
    smooth: SmoothConfig = SmoothConfig()


def fit(config: FitConfig, report: Callable[[str], None] = print) -> dict[str, int]:
    """Trains, calibrates, measures and writes the bundle `config.out`; returns counts of documents and tokens.

    Raises:
        FileNotFoundError, KeyError, ValueError: a step cannot be done with these documents; the message says why.
    """
    torch.set_num_threads(config.threads)
    training, calibration, heldout, left_out = _documents(config)
    report(f"{len(training)} training, {len(calibration)} calibration, {len(heldout)} held-out documents")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = ByteTokenizer.load(
            train_vocabulary(training.texts, config.vocabulary, Path(folder) / "tokenizer.json")
        )
        report(f"tokenizer of {tokenizer.vocab_size} tokens, {tokenizer.sha256[:16]}")
        words = learn(training.texts, training.positive_D)
        pools = build_pools(training, config.splice.near_domain, tokenizer, words, config.target)
        encoder_config = {**config.encoder, "vocab_size": tokenizer.vocab_size}
        encoder, head = train(
            encoder_config,
            config.train,
            lambda step: rows(pools, config.splice, config.seed, step),
            embedding_VD=topic_embedding(pools.all, tokenizer.vocab_size, config.encoder["dim"], config.seed),
            seed=config.seed,
            report=report,
        )
        heads = {
            "token.weight": head.weight.detach()[0],
            "token.bias": head.bias.detach(),
            **_document_head(config, encoder, tokenizer, training),
        }
        read = _reader(encoder, heads)
        report("calibrating")
        scored = score(calibration.texts, document_labels(calibration.positive_D), tokenizer, read, {})
        calibrated = calibrate(scored, calibration, tokenizer, words, config.smooth)
        report("measuring")
        figures = measure_all(heldout, config.spans, tokenizer, read, calibrated, config.seed)
        bundle = _save(config, training, encoder_config, encoder, heads, tokenizer, calibrated, figures)
    report(f"{bundle.path} {bundle.bundle_id}")
    for line in figures.lines():
        report(line)
    return {
        "training_documents": len(training),
        "calibration_documents": len(calibration),
        "heldout_documents": len(heldout),
        "left_out_documents": left_out,
        "tokens_drawn": _tokens_drawn(config),
    }


def _documents(config: FitConfig) -> tuple[Documents, Documents, Documents, int]:
    """Training, calibration and held-out documents, and how many train documents were left out."""
    corpus = config.corpus
    known = read_documents(_files(corpus.train), corpus.train_labels, corpus.positive_domain)
    allowed_D = np.array([license_ in corpus.licenses for license_ in known.licenses], dtype=bool)
    usable = known.where(allowed_D & ~known.borderline_D)
    calibration_D = content_share(usable.texts) < corpus.calibration
    heldout = read_documents(_files(corpus.heldout), corpus.heldout_labels, corpus.positive_domain)
    return (
        usable.where(~calibration_D),
        usable.where(calibration_D),
        heldout.where(~heldout.borderline_D),
        len(known) - len(usable),
    )


def _tokens_drawn(config: FitConfig) -> int:
    """Upper bound of the tokens trained on: an unspliced row ends early where its document does."""
    return config.train.steps * config.splice.rows * config.splice.row_tokens


def _files(pattern: str) -> list[Path]:
    path = Path(pattern)
    return sorted(path.parent.glob(path.name))


def _document_head(
    config: FitConfig, encoder: nn.Module, tokenizer: ByteTokenizer, training: Documents
) -> dict[str, torch.Tensor]:
    """Fits on the documents of each class with the lowest content hashes, as many as configured."""
    order_D = np.argsort(content_share(training.texts), kind="stable")
    chosen = [order_D[training.positive_D[order_D] == value] for value in (True, False)]
    mask_D = np.zeros(len(training), dtype=bool)
    mask_D[np.concatenate([part[: config.document_head_documents] for part in chosen])] = True
    some = training.where(mask_D)
    features_DK = pooled_features(encoder, config.encoder["dim"], tokenizer, some.texts)
    weight_K, bias = fit_document_head(features_DK, some.positive_D)
    return {"document.weight": torch.tensor(weight_K).float(), "document.bias": torch.tensor([bias]).float()}


def _reader(encoder: nn.Module, heads: dict[str, torch.Tensor]) -> Callable[[Tokenized], np.ndarray]:
    """Token logits and the values whose mean is the document logit, [T, 2]."""
    weights = torch.stack([heads["token.weight"], heads["document.weight"]], dim=1)
    biases = torch.cat([heads["token.bias"], heads["document.bias"]])
    return lambda tokens: token_values(encoder, lambda x_PD: x_PD @ weights + biases, tokens, 2)


def _save(
    config: FitConfig,
    training: Documents,
    encoder_config: dict[str, Any],
    encoder: nn.Module,
    heads: dict[str, torch.Tensor],
    tokenizer: ByteTokenizer,
    calibrated: Calibration,
    figures: Figures,
) -> Bundle:
    draft = BundleDraft(
        name=config.name,
        policy=config.policy,
        encoder=encoder_config,
        window=WINDOW,
        margin=MARGIN,
        thresholds=calibrated.thresholds,
        training_data=provenance(training),
        metrics=figures.metrics(),
    )
    return save(
        config.out,
        draft,
        encoder=encoder.state_dict(),
        heads=heads,
        tokenizer=tokenizer.path,
        card=card(draft, figures, _tokens_drawn(config), config.threads),
    )
