"""Chooses thresholds, and the lexicon baseline's smoothing, on documents that nothing was fitted on.

The token threshold maximises F1 over tokens weighted half and half, as paper 1 does (A.4, A.6), but on a split of its
own: the paper's code chooses it on the tokens that it then reports. What that threshold does at the corpus's own share
of positive tokens is reported beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pretrain.classifier.apply import batches
from pretrain.classifier.evaluate import Histograms, auroc, best_level, histograms, level_probability
from pretrain.classifier.labels import Documents
from pretrain.classifier.measure import Scored, document_labels, joined
from udfs.bundle_spec import Threshold
from udfs.lexicon import Lexicon
from udfs.tokenizer import ByteTokenizer


class SmoothConfig(BaseModel):
    """Reaches of the lexicon baselines in words to each side: small ones to choose from, and one wide passage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    small: list[int] = Field(default=[0, 1, 2, 4, 8], min_length=1)
    passage: int = 64


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Thresholds as grid levels (score >= level), and the lexicon baselines by name with their own levels.

    `word` is the word alone, `lexicon` has the best of the small reaches, and `passage` the wide one: a naive Bayes
    classifier of the surroundings.
    """

    token_level: int
    document_level: int
    baselines: dict[str, Lexicon]
    baseline_levels: dict[str, int]

    @property
    def thresholds(self) -> dict[str, Threshold]:
        """The thresholds as a bundle records them."""
        how = "maximum F1 on calibration documents split off by content hash, coarse labels, {} weighted half and half"
        return {
            "token": Threshold(value=level_probability(self.token_level), how=how.format("tokens of both classes")),
            "document": Threshold(value=level_probability(self.document_level), how=how.format("documents")),
        }


def calibrate(
    scored: Scored, documents: Documents, tokenizer: ByteTokenizer, words: Lexicon, config: SmoothConfig
) -> Calibration:
    """Thresholds and smoothing from the calibration documents and their scores."""
    reaches = sorted({0, *config.small, config.passage})
    counts = dict(zip(reaches, _smoothed(words, reaches, documents, tokenizer), strict=True))
    best = max(config.small, key=lambda reach: auroc(*counts[reach].pooled))
    chosen = {"word": 0, "lexicon": best, "passage": config.passage}
    return Calibration(
        token_level=best_level(*scored.model.pooled),
        document_level=best_level(*document_histograms(scored.document_D, documents.positive_D).pooled),
        baselines={name: replace(words, smooth=reach) for name, reach in chosen.items()},
        baseline_levels={name: best_level(*counts[reach].pooled) for name, reach in chosen.items()},
    )


def document_histograms(logits_D: np.ndarray, positive_D: np.ndarray) -> Histograms:
    """Histograms with a document as its own unit."""
    return histograms(logits_D, positive_D, np.arange(len(logits_D) + 1))


def _smoothed(
    words: Lexicon, reaches: Sequence[int], documents: Documents, tokenizer: ByteTokenizer
) -> list[Histograms]:
    """Histograms of the calibration documents under each reach."""
    labels, parts, first = document_labels(documents.positive_D), [[] for _ in reaches], 0
    for some, tokens in batches(tokenizer, documents.texts):
        positive_T = labels(some, tokens, first)
        for part, reach in zip(parts, reaches, strict=True):
            logits_T = replace(words, smooth=reach).score(some, tokens)
            part.append(histograms(logits_T, positive_T, tokens.bounds_D1))
        first += len(some)
    return [joined(part) for part in parts]
