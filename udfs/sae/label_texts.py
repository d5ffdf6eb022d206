"""Texts to SAE labels: what fires, which tokens that labels, which bytes those are."""

from dataclasses import dataclass

import numpy as np

from tokensieve.udfs.labels.labels import DocumentLabels, unknown
from tokensieve.udfs.sae.collect import text_groups
from tokensieve.udfs.sae.latents import LatentSettings, worker_latents
from tokensieve.udfs.sae.seeds import SeedRule, byte_spans, labelled_tokens


@dataclass(frozen=True, kw_only=True)
class LabelPlan:
    """Everything that a labelling task needs, sent to it once."""

    latents: LatentSettings
    rule: SeedRule


def label_texts(plan: LabelPlan, texts: list[str]) -> list[DocumentLabels]:
    """The labels of D texts, for `udfs.labels.labels.label_rows`; a text that the model cannot read is unknown."""
    labels: list[DocumentLabels] = []
    for group in text_groups([len(text) for text in texts]):
        labels += _label(plan, [texts[at] for at in group])
    return labels


def _label(plan: LabelPlan, texts: list[str]) -> list[DocumentLabels]:
    found = worker_latents(plan.latents)(texts)
    tokens = found.tokens
    spans, owner_N = byte_spans(labelled_tokens(found, plan.rule), tokens.bytes_T, tokens.bounds_D1)
    spans_N2 = np.stack([spans.start_N, spans.end_N], axis=1)
    first_D1 = np.searchsorted(owner_N, np.arange(len(texts) + 1))
    return [
        unknown(text, found.failed[d])
        if d in found.failed
        else DocumentLabels(spans_N2=spans_N2[first_D1[d] : first_D1[d + 1]])
        for d, text in enumerate(texts)
    ]
