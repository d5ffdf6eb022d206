"""The figures of a classifier and of the lexicon baselines: same tokens, same metric, side by side.

Held-out documents carry coarse labels (a document's label on all its tokens); human spans carry token labels.
Neither is the truth about "medical": the first rewards topic, the second single terms. Both are reported, also where
the model loses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pretrain.classifier.apply import batches, segment_means
from pretrain.classifier.evaluate import Histograms, auroc, auroc_interval, histograms
from udfs.lexicon import Lexicon
from udfs.tokenizer import ByteTokenizer, Tokenized

TokenScores = Callable[[Tokenized], np.ndarray]
Labels = Callable[[Sequence[str], Tokenized, int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """D documents: token histograms by scorer (`model` and the baselines), and the model's document logits [D]."""

    tokens: dict[str, Histograms]
    document_D: np.ndarray

    @property
    def model(self) -> Histograms:
        """The model's token histograms."""
        return self.tokens["model"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Token AUROC (value, low, high: a 95 % interval over documents) by scorer, all on the same tokens."""

    name: str
    positives: int
    negatives: int
    auroc: dict[str, tuple[float, float, float]]


def score(
    texts: Sequence[str],
    labels: Labels,
    tokenizer: ByteTokenizer,
    heads: TokenScores,
    baselines: dict[str, Lexicon],
) -> Scored:
    """Scores texts a few at a time.

    Args:
        labels: bool [T] of some texts and their tokens; the third argument is the first text's place.
        heads: [T, 2], token logits and the values whose mean is the document logit.
    """
    parts: dict[str, list[Histograms]] = {name: [] for name in ("model", *baselines)}
    documents, first = [], 0
    for some, tokens in batches(tokenizer, texts):
        positive_T, values_TK = labels(some, tokens, first), heads(tokens)
        logits = {name: words.score(some, tokens) for name, words in baselines.items()}
        logits["model"] = values_TK[:, 0]
        for name, logits_T in logits.items():
            parts[name].append(histograms(logits_T, positive_T, tokens.bounds_D1))
        documents.append(segment_means(values_TK[:, 1:], tokens.bounds_D1)[:, 0])
        first += len(some)
    return Scored(tokens={name: joined(part) for name, part in parts.items()}, document_D=np.concatenate(documents))


def document_labels(positive_D: np.ndarray) -> Labels:
    """Coarse labels: every token has its document's."""

    def labels(texts: Sequence[str], tokens: Tokenized, first: int) -> np.ndarray:
        return np.repeat(positive_D[first : first + len(texts)], np.diff(tokens.bounds_D1))

    return labels


def compare(name: str, counts: dict[str, Histograms], seed: int) -> Comparison:
    """AUROCs and intervals of all scorers.

    Raises:
        ValueError: there is no positive or no negative token; names the comparison.
    """
    positive_Q, negative_Q = counts["model"].pooled
    if not positive_Q.sum() or not negative_Q.sum():
        raise ValueError(
            f"{name}: {positive_Q.sum():.0f} positive and {negative_Q.sum():.0f} negative tokens; "
            "an AUROC needs both, give documents of both classes"
        )
    return Comparison(
        name=name,
        positives=int(positive_Q.sum()),
        negatives=int(negative_Q.sum()),
        auroc={who: (auroc(*part.pooled), *auroc_interval(part, seed)) for who, part in counts.items()},
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
