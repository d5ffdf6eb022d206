"""Methods `logistic`, `multilayer` and `mlp`: features of a frozen encoder read once, heads chosen on calibration."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import nn

from tokensieve.pretrain.classifier.apply import Walk
from tokensieve.pretrain.classifier.backbone import Backbone, load_backbone
from tokensieve.pretrain.classifier.choose_head import Chosen, Data, figure, logistic, mlp, multilayer
from tokensieve.pretrain.classifier.config import FitConfig, FrozenHead, LogisticHead, MultilayerHead
from tokensieve.pretrain.classifier.draw_tokens import draw_tokens, lowest_of_each_class
from tokensieve.pretrain.classifier.fitted import Fitted, Weights, document_weights
from tokensieve.pretrain.classifier.frozen_features import Features, extract
from tokensieve.pretrain.labelled.corpus import Corpus
from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer


def fit_frozen(config: FitConfig, corpus: Corpus, folder: Path, report: Callable[[str], None]) -> Fitted:
    """Fits heads on the features of a given encoder; `folder` holds the features, N x layers x width numbers.

    Raises:
        EncoderError, BundleError: as `load_backbone`.
        FitError: a class without tokens or documents, or features that are not finite.
    """
    head = config.head
    assert isinstance(head, FrozenHead)
    given = load_backbone(config.encoder)
    tokenizer = ByteTokenizer.load(given.encoder.tokenizer)
    walk = Walk(window=given.encoder.window, margin=given.encoder.margin, device=config.device)
    module = given.module().to(config.device)
    report(f"{given.name}, layers {list(given.layers)}")

    def read(name: str, documents: Documents) -> Features:
        return _features(config, head, given, module, tokenizer, walk, documents, folder / name, report)

    data = Data(train=read("training", corpus.training), calibration=read("calibration", corpus.calibration))
    chosen = _chosen(data, given.layers, head, config)
    for trial in chosen.trials:
        settings = " ".join(f"{name} {value:g}" for name, value in trial.settings.items())
        figures = f"F1 {figure(trial, 'f1'):.4f}  AUROC {figure(trial, 'auroc'):.4f}"
        report(f"layers {list(trial.layers)} {settings}  calibration {figures}")
    pooled_DK = np.concatenate([data.train.pooled[layer] for layer in chosen.trial.layers], axis=1)
    cut = given.cut(chosen.trial.layers)
    return Fitted(
        encoder=cut.module().to(config.device),
        config=cut.encoder.config,
        name=given.name,
        tokenizer=tokenizer,
        walk=walk,
        heads={**chosen.head, **document_weights(pooled_DK, data.train.positive_D)},
        chosen=chosen.trial,
        trials=chosen.trials,
        tokens=len(data.train.value_N),
    )


def _features(
    config: FitConfig,
    head: FrozenHead,
    given: Backbone,
    module: nn.Module,
    tokenizer: ByteTokenizer,
    walk: Walk,
    documents: Documents,
    folder: Path,
    report: Callable[[str], None],
) -> Features:
    some = lowest_of_each_class(documents, head.draw.documents)
    drawn = draw_tokens(some, tokenizer, head.draw, config.seed)
    report(f"{folder.name}: features of {len(drawn)} tokens of {len(some)} documents")
    folder.mkdir()
    return extract(
        module, given.layers, tokenizer, some, drawn, walk=walk, folder=folder, precision=config.encoder.precision
    )


def _chosen(data: Data, layers: tuple[int, ...], head: FrozenHead, config: FitConfig) -> Chosen[Weights]:
    candidates = [(layer,) for layer in layers] if config.encoder.layers == "sweep" else [layers]
    if isinstance(head, LogisticHead):
        return logistic(data, candidates, head, head.by)
    if isinstance(head, MultilayerHead):
        return multilayer(data, layers, head.most, head, head.by)
    return mlp(data, candidates, head, head.by, config.seed)
