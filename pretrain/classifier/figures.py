"""All the figures of one classifier: held-out documents by domain, and texts marked by human annotators."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from pretrain.classifier.calibrate import Calibration, document_histograms
from pretrain.classifier.evaluate import Histograms, auroc, average_precision, operating
from pretrain.classifier.human_spans import read_marked, token_labels
from pretrain.classifier.labels import Documents
from pretrain.classifier.measure import Comparison, Scored, TokenScores, against, compare, document_labels, score
from udfs.lexicon import Lexicon
from udfs.tokenizer import ByteTokenizer, Tokenized


class SpanFiles(BaseModel):
    """Parquet files with human spans; None leaves that figure out.

    Attributes:
        craft: articles in which both the wanted and other concepts are marked.
        bc5cdr: abstracts in which the wanted concepts are marked. negatives: texts presumed free of them.
        prefix: the span types that count as positive start with it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    craft: Path | None = None
    bc5cdr: Path | None = None
    negatives: Path | None = None
    prefix: str = "medical/"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Comparisons with the baselines (the first is all held-out tokens), and single figures by name."""

    comparisons: list[Comparison]
    single: dict[str, float]

    def metrics(self) -> dict[str, float]:
        """Flat names and values for bundle.json, rounded to what the intervals can bear."""
        flat = dict(self.single)
        for row in self.comparisons:
            for who, values in row.auroc.items():
                flat |= {f"{row.name}.{who}.{key}": v for key, v in zip(_KEYS, values, strict=True)}
        return {name: round(value, 4) for name, value in flat.items()}

    def lines(self) -> list[str]:
        """One line a comparison, for the terminal."""
        rows = []
        for row in self.comparisons:
            cells = [f"{who} {v:.4f} [{low:.4f}, {high:.4f}]" for who, (v, low, high) in row.auroc.items()]
            rows.append("  ".join([f"{row.name:34}", *cells]))
        return rows


_KEYS = ("auroc", "auroc.low", "auroc.high")


def measure_all(
    heldout: Documents,
    spans: SpanFiles,
    tokenizer: ByteTokenizer,
    heads: TokenScores,
    calibration: Calibration,
    seed: int,
) -> Figures:
    """Measures on held-out documents and, where given, on human spans."""
    baselines = calibration.baselines
    scored = score(heldout.texts, document_labels(heldout.positive_D), tokenizer, heads, baselines)
    return Figures(
        comparisons=_by_domain(heldout, scored, seed) + _human(spans, tokenizer, heads, baselines, seed),
        single=_single(scored, heldout, calibration),
    )


def _by_domain(heldout: Documents, scored: Scored, seed: int) -> list[Comparison]:
    domains = np.array(heldout.domains)
    rows = [compare("heldout.token", scored.tokens, seed)]
    for domain in sorted(set(domains[~heldout.positive_D])):
        mask_D = heldout.positive_D | (domains == domain)
        pair = {who: counts.where(mask_D) for who, counts in scored.tokens.items()}
        rows.append(compare(f"heldout.token.against_{domain}", pair, seed))
    return rows


def _single(scored: Scored, heldout: Documents, calibration: Calibration) -> dict[str, float]:
    documents = document_histograms(scored.document_D, heldout.positive_D)
    single = {"heldout.document.model.auroc": auroc(*documents.pooled)}
    single |= {f"{name}.smooth": float(words.smooth) for name, words in calibration.baselines.items()}
    levels = {"model": calibration.token_level, **calibration.baseline_levels}
    for who, level in levels.items():
        single |= _at_level(f"heldout.token.{who}", scored.tokens[who], level)
    return single | _at_level("heldout.document.model", documents, calibration.document_level)


def _at_level(name: str, counts: Histograms, level: int) -> dict[str, float]:
    positive_Q, negative_Q = counts.pooled
    balanced, natural = operating(positive_Q, negative_Q, level, 0.5), operating(positive_Q, negative_Q, level)
    return {
        f"{name}.average_precision": average_precision(positive_Q, negative_Q),
        f"{name}.prevalence": float(positive_Q.sum() / (positive_Q.sum() + negative_Q.sum())),
        f"{name}.balanced.f1": balanced.f1,
        f"{name}.balanced.precision": balanced.precision,
        f"{name}.natural.f1": natural.f1,
        f"{name}.natural.precision": natural.precision,
        f"{name}.recall": natural.recall,
    }


def _human(
    spans: SpanFiles, tokenizer: ByteTokenizer, heads: TokenScores, baselines: dict[str, Lexicon], seed: int
) -> list[Comparison]:
    def scored(path: Path) -> dict[str, Histograms]:
        marked = read_marked(path, spans.prefix)

        def labels(_: Sequence[str], tokens: Tokenized, first: int) -> np.ndarray:
            return token_labels(marked, tokens, first)

        return score(marked.texts, labels, tokenizer, heads, baselines).tokens

    rows = []
    if spans.craft:
        rows.append(compare("craft.disease_in_biology", scored(spans.craft), seed))
    if spans.bc5cdr:
        abstracts = scored(spans.bc5cdr)
        rows.append(compare("bc5cdr.spans_in_abstracts", abstracts, seed))
        if spans.negatives:
            clean = scored(spans.negatives)
            pair = {who: against(abstracts[who], clean[who]) for who in abstracts}
            rows.append(compare("bc5cdr.spans_against_negatives", pair, seed))
    return rows
