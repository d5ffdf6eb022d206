"""Chooses thresholds, and the lexicon baseline's smoothing, on documents that nothing was fitted on.

The token threshold maximises F1 over tokens weighted half and half, as paper 1 does (A.4, A.6), but on a split of its
own: the paper's code chooses it on the tokens that it then reports. What that threshold does at the corpus's own share
of positive tokens is reported beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pretrain.classifier.apply import batches
from pretrain.classifier.evaluate import Histograms, auroc, best_level, histograms, level_probability
from pretrain.classifier.labels import Documents
from pretrain.classifier.lexicon import Lexicon
from pretrain.classifier.measure import Scored, document_labels, joined
from udfs.bundle_spec import Threshold
from udfs.tokenizer import ByteTokenizer


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Thresholds as grid levels (score >= level), and the lexicon with the best smoothing and its own level."""

    token_level: int
    document_level: int
    lexicon: Lexicon
    lexicon_level: int

    @property
    def thresholds(self) -> dict[str, Threshold]:
        """The thresholds as a bundle records them."""
        how = "maximum F1 on calibration documents split off by content hash, coarse labels, {} weighted half and half"
        return {
            "token": Threshold(value=level_probability(self.token_level), how=how.format("tokens of both classes")),
            "document": Threshold(value=level_probability(self.document_level), how=how.format("documents")),
        }


def calibrate(
    scored: Scored, documents: Documents, tokenizer: ByteTokenizer, words: Lexicon, reaches: Sequence[int]
) -> Calibration:
    """Thresholds and smoothing from the calibration documents and their scores."""
    smoothed = [_smoothed(words, reach, documents, tokenizer) for reach in reaches]
    best = max(range(len(reaches)), key=lambda i: auroc(*smoothed[i].pooled))
    return Calibration(
        token_level=best_level(*scored.model.pooled),
        document_level=best_level(*document_histograms(scored.document_D, documents.positive_D).pooled),
        lexicon=replace(words, smooth=reaches[best]),
        lexicon_level=best_level(*smoothed[best].pooled),
    )


def document_histograms(logits_D: np.ndarray, positive_D: np.ndarray) -> Histograms:
    """Histograms with a document as its own unit."""
    return histograms(logits_D, positive_D, np.arange(len(logits_D) + 1))


def _smoothed(words: Lexicon, reach: int, documents: Documents, tokenizer: ByteTokenizer) -> Histograms:
    lexicon, labels, parts, first = replace(words, smooth=reach), document_labels(documents.positive_D), [], 0
    for some, tokens in batches(tokenizer, documents.texts):
        parts.append(histograms(lexicon.score(some, tokens), labels(some, tokens, first), tokens.bounds_D1))
        first += len(some)
    return joined(parts)
