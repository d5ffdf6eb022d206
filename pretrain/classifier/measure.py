"""The figures of a classifier and of the lexicon baseline: same tokens, same metric, side by side.

Held-out documents carry coarse labels (a document's label on all its tokens); human spans carry token labels. Neither is
the truth about "medical": the first rewards topic, the second single terms. Both are reported, also where the model
loses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pretrain.classifier.apply import batches, segment_means
from pretrain.classifier.evaluate import Histograms, auroc, auroc_interval, histograms
from pretrain.classifier.lexicon import Lexicon
from udfs.tokenizer import ByteTokenizer, Tokenized

TokenScores = Callable[[Tokenized], np.ndarray]
Labels = Callable[[Sequence[str], Tokenized, int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """D documents: token histograms of the model and of the lexicon, and the model's document logits float64 [D]."""

    model: Histograms
    lexicon: Histograms
    document_D: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Token AUROC of model and lexicon on the same tokens, with 95 % intervals over documents."""

    name: str
    positives: int
    negatives: int
    model: tuple[float, float, float]  # value, low, high
    lexicon: tuple[float, float, float]


def score(
    texts: Sequence[str], labels: Labels, tokenizer: ByteTokenizer, heads: TokenScores, lexicon: Lexicon
) -> Scored:
    """Scores texts a few at a time.

    Args:
        labels: bool [T] of some texts and their tokens; the third argument is the first text's place.
        heads: [T, 2], token logits and the values whose mean is the document logit.
    """
    model, words, documents, first = [], [], [], 0
    for some, tokens in batches(tokenizer, texts):
        positive_T = labels(some, tokens, first)
        values_TK = heads(tokens)
        model.append(histograms(values_TK[:, 0], positive_T, tokens.bounds_D1))
        words.append(histograms(lexicon.score(some, tokens), positive_T, tokens.bounds_D1))
        documents.append(segment_means(values_TK[:, 1:], tokens.bounds_D1)[:, 0])
        first += len(some)
    return Scored(model=joined(model), lexicon=joined(words), document_D=np.concatenate(documents))


def document_labels(positive_D: np.ndarray) -> Labels:
    """Coarse labels: every token has its document's."""

    def labels(texts: Sequence[str], tokens: Tokenized, first: int) -> np.ndarray:
        return np.repeat(positive_D[first : first + len(texts)], np.diff(tokens.bounds_D1))

    return labels


def compare(name: str, model: Histograms, lexicon: Histograms, seed: int) -> Comparison:
    """AUROCs and intervals of both."""
    positive_Q, negative_Q = model.pooled
    return Comparison(
        name=name,
        positives=int(positive_Q.sum()),
        negatives=int(negative_Q.sum()),
        model=(auroc(positive_Q, negative_Q), *auroc_interval(model, seed)),
        lexicon=(auroc(*lexicon.pooled), *auroc_interval(lexicon, seed)),
    )


def against(positives: Histograms, negatives: Histograms) -> Histograms:
    """The positive units of one set of documents against the negative units of another."""
    none_p, none_n = np.zeros_like(negatives.positive_DQ), np.zeros_like(positives.negative_DQ)
    return Histograms(
        positive_DQ=np.concatenate([positives.positive_DQ, none_p]),
        negative_DQ=np.concatenate([none_n, negatives.negative_DQ]),
    )


def joined(parts: Sequence[Histograms]) -> Histograms:
    """Documents end to end."""
    return Histograms(
        positive_DQ=np.concatenate([part.positive_DQ for part in parts]),
        negative_DQ=np.concatenate([part.negative_DQ for part in parts]),
    )
