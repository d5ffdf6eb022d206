"""Methods `joint` and `finetune`: encoder and token head trained together on spliced rows, the document head after."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tokensieve.pretrain.classifier.apply import Walk, pooled_features
from tokensieve.pretrain.classifier.backbone import load_backbone
from tokensieve.pretrain.classifier.config import FinetuneHead, FitConfig
from tokensieve.pretrain.classifier.draw_tokens import lowest_of_each_class
from tokensieve.pretrain.classifier.fitted import Fitted, document_weights
from tokensieve.pretrain.classifier.joint_trainer import train
from tokensieve.pretrain.classifier.spliced_rows import Pools, rows
from tokensieve.pretrain.classifier.token_pools import build_pools, topic_embedding
from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.labelled.corpus import Corpus
from tokensieve.udfs.encoders.encoder import build
from tokensieve.udfs.labels.lexicon import learn
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer
from tokensieve.udfs.tokenizing.train_bpe import train_vocabulary


def fit_joint(config: FitConfig, corpus: Corpus, folder: Path, report: Callable[[str], None]) -> Fitted:
    """Trains a tokenizer, a fresh encoder whose embedding starts from topics, and its heads. Needs `encoder.shape`."""
    path = train_vocabulary(corpus.training.texts, config.vocabulary, folder / "tokenizer.json")
    tokenizer = ByteTokenizer.load(path)
    report(f"tokenizer of {tokenizer.vocab_size} tokens, {tokenizer.sha256[:16]}")
    pools = _pools(config, corpus, tokenizer)
    shape = {**(config.encoder.shape or {}), "vocab_size": tokenizer.vocab_size}
    torch.manual_seed(config.seed)
    encoder = build(shape)
    _start_from_topics(encoder, pools, tokenizer.vocab_size, config.seed)
    walk = Walk(device=config.device)
    return _trained(config, corpus, encoder, shape, "trained from scratch", tokenizer, walk, pools, report)


def fit_finetune(config: FitConfig, corpus: Corpus, folder: Path, report: Callable[[str], None]) -> Fitted:
    """Trains all parameters of a given encoder with a fresh head. Raises as `load_backbone`."""
    given = load_backbone(config.encoder)
    tokenizer = ByteTokenizer.load(given.encoder.tokenizer)
    report(f"{given.name}, layers {list(given.layers)}")
    pools = _pools(config, corpus, tokenizer)
    torch.manual_seed(config.seed)
    walk = Walk(window=given.encoder.window, margin=given.encoder.margin, device=config.device)
    name = f"{given.name}, fine-tuned"
    return _trained(config, corpus, given.module(), given.encoder.config, name, tokenizer, walk, pools, report)


def _trained(
    config: FitConfig,
    corpus: Corpus,
    encoder: nn.Module,
    shape: dict[str, object],
    name: str,
    tokenizer: ByteTokenizer,
    walk: Walk,
    pools: Pools,
    report: Callable[[str], None],
) -> Fitted:
    head = train(
        encoder,
        config.train,
        lambda step: rows(pools, config.splice, config.seed, step),
        report=report,
        encoder_rate=config.head.encoder_learning_rate if isinstance(config.head, FinetuneHead) else None,
        device=config.device,
    )
    some = lowest_of_each_class(corpus.training, config.document_head_documents)
    pooled_DK = pooled_features(encoder, head.in_features, tokenizer, some.texts, walk)
    return Fitted(
        encoder=encoder,
        config=shape,
        name=name,
        tokenizer=tokenizer,
        walk=walk,
        heads={
            "token.weight": head.weight[0].cpu(),
            "token.bias": head.bias.cpu(),
            **document_weights(pooled_DK, some.positive_D),
        },
        # An upper bound: an unspliced row ends early where its document does.
        tokens=config.train.steps * config.splice.rows * config.splice.row_tokens,
    )


def _pools(config: FitConfig, corpus: Corpus, tokenizer: ByteTokenizer) -> Pools:
    training = corpus.training
    words = learn(training.texts, training.positive_D)
    return build_pools(training, config.splice.near_domain, tokenizer, words, config.target)


def _start_from_topics(encoder: nn.Module, pools: Pools, vocabulary: int, seed: int) -> None:
    """Sets every token embedding of the encoder to vectors of topics."""
    found = [weight for name, weight in encoder.named_parameters() if name.endswith("embedding.weight")]
    if not found:
        raise FitError(f"{type(encoder).__name__} has no parameter named `embedding.weight` to start from topics")
    made: dict[int, np.ndarray] = {}
    with torch.no_grad():
        for weight in found:
            dim = weight.shape[1]
            made.setdefault(dim, topic_embedding(pools.all, vocabulary, dim, seed))
            weight.copy_(torch.from_numpy(made[dim]))
