"""Scores labelled documents once and counts: histograms per document for the classifier and for each baseline.

Coarse labels (a document's on all its tokens) reward topic, spans marked by people single terms; neither is the truth
about a policy. Tokens of unknown label are counted apart and never judged. Documents stream: only histograms stay.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.pretrain.errors import ReportError
from tokensieve.pretrain.labelled.labels import targets
from tokensieve.pretrain.measuring.histograms import Histograms, joined, level_histograms
from tokensieve.pretrain.measuring.leaks import Seen, content_keys, unseen
from tokensieve.pretrain.measuring.mistakes import Mistakes
from tokensieve.pretrain.measuring.model import Model, Reading, document_levels, segment_means
from tokensieve.pretrain.measuring.schema import MODEL, Unit
from tokensieve.pretrain.measuring.sets import Chunk
from tokensieve.udfs.labels.lexicon import Lexicon
from tokensieve.udfs.scores.stored_scores import quantize_logits


@dataclass(frozen=True, kw_only=True)
class Measured:
    """D documents: histograms by unit and scorer, of which a document is one unit of its own; and their names.

    Attributes:
        keys_D: content keys, uint64. left_out: documents that were not scored, by reason.
    """

    counts: dict[Unit, dict[str, Histograms]]
    domains: np.ndarray
    sources: np.ndarray
    keys_D: np.ndarray
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.keys_D)


def measure(
    name: str,
    chunks: Iterable[Chunk],
    model: Model,
    baselines: Mapping[str, Lexicon],
    *,
    seen: Sequence[Seen] = (),
    mistakes: Mistakes | None = None,
) -> Measured:
    """Scores all documents under the model and the baselines.

    A token is forget where its label is at least one half. Raises LeakError for a document that was used before, unless
    its source leaves such documents out; ReportError where no document is left or one cannot be tokenised.
    """
    parts: dict[Unit, dict[str, list[Histograms]]] = {
        unit: {who: [] for who in (MODEL, *baselines)} for unit in ("token", "document")
    }
    names, keys, left_out = [], [], {}
    for given in chunks:
        chunk = unseen(name, given, seen)
        documents = chunk.documents
        for reason, count in chunk.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
        if not len(documents):
            continue
        reading = model(documents.texts)
        _check_tokens(name, chunk, reading)
        value_T, known_T = targets(documents, reading.tokens)
        for who, (levels_T, logits_D) in _scores(chunk, reading, baselines).items():
            parts["token"][who].append(level_histograms(levels_T, value_T >= 0.5, reading.tokens.bounds_D1, known_T))
            parts["document"][who].append(_document_histograms(chunk, logits_D))
        if mistakes is not None:
            mistakes.add(documents, reading, value_T >= 0.5, known_T)
        names.append((documents.domains, documents.sources))
        keys.append(content_keys(documents.texts))
    if not keys:
        raise ReportError(
            f"{name}: no document is left to measure on; left out: {left_out or 'none, its files are empty'}"
        )
    return Measured(
        counts={unit: {who: joined(part) for who, part in by.items()} for unit, by in parts.items()},
        domains=np.array([domain for domains, _ in names for domain in domains], dtype=object),
        sources=np.array([source for _, sources in names for source in sources], dtype=object),
        keys_D=np.concatenate(keys),
        left_out=left_out,
    )


def _check_tokens(name: str, chunk: Chunk, reading: Reading) -> None:
    if reading.tokens.failed:
        at, why = next(iter(reading.tokens.failed.items()))
        raise ReportError(f"{name}: document {chunk.documents.ids[at]} cannot be tokenised: {why}")


def _scores(
    chunk: Chunk, reading: Reading, baselines: Mapping[str, Lexicon]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By scorer: grid scores of the tokens, and logits of the documents (a baseline's: the mean over its tokens)."""
    scores = {MODEL: (reading.levels_T, reading.document_D)}
    empty_D = np.diff(reading.tokens.bounds_D1) == 0
    for who, words in baselines.items():
        logits_T = words.score(chunk.documents.texts, reading.tokens)
        means_D = segment_means(logits_T[:, None], reading.tokens.bounds_D1)[:, 0]
        scores[who] = quantize_logits(logits_T), np.where(empty_D, np.nan, means_D)
    return scores


def _document_histograms(chunk: Chunk, logits_D: np.ndarray) -> Histograms:
    """A document without tokens has no score, so nothing is known of it."""
    known_D = chunk.known_D & ~np.isnan(logits_D)
    bounds_D1 = np.arange(len(logits_D) + 1)
    return level_histograms(document_levels(logits_D), chunk.documents.positive_D, bounds_D1, known_D)
