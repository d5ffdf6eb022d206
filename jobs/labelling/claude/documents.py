"""Verb `label claude documents`: does a document as a whole fall under the policy? One request per text of the sample.

A document that does is forgotten from its first to its last byte: coarse labels, for document classifiers and for
training from coarse labels. What is refused, failed or outside the sample is unknown.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.labelling.claude.asker import Asker, any_answer, states
from tokensieve.jobs.labelling.claude.canaries import document_canaries
from tokensieve.jobs.labelling.claude.fence import FenceError, clean
from tokensieve.jobs.labelling.claude.prompts import DOCUMENT, document, is_forget
from tokensieve.jobs.labelling.claude.request import Answer, Request
from tokensieve.jobs.labelling.claude.text_labels import noted, publish, sample
from tokensieve.jobs.labelling.documents import documents
from tokensieve.udfs.labels.labels import DocumentLabels, unknown

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAME = "claude-documents"


def run(config: LabelConfig, spark: "SparkSession") -> dict[str, Any]:
    """Asks, then commits the label set `claude-documents`. Returns its counts and those of the answers."""
    asker = Asker.of(config)
    settings = asker.claude.documents
    with documents(config.source, spark) as source:
        texts = sample(source.frame, settings)
        requests, unread = _requests(asker, texts)
        canaries = document_canaries(asker.policy, asker.fence, settings.max_characters)
        if asker.claude.dry_run:
            return asker.preview([*requests.values()], canaries)
        answers = asker.ask([*requests.values()], any_answer, canaries)
        labels = {name: unknown(texts[name], noted(texts[name], [why]) or why) for name, why in unread.items()}
        labels |= {name: _labels(asker, texts[name], one) for name, one in zip(requests, answers, strict=True)}
        made_by = {"prompt": DOCUMENT, "model": asker.claude.model, "sample": settings.model_dump(mode="json")}
        return publish(config, spark, NAME, source, labels, made_by) | {"answers": states(answers)}


def _requests(asker: Asker, texts: dict[str, str]) -> tuple[dict[str, Request], dict[str, str]]:
    """Requests by text hash, and for the texts that cannot be asked about why not."""
    requests, unread = {}, {}
    for name, text in texts.items():
        try:
            if clean(text):
                requests[name] = document(asker.policy, asker.fence, text, asker.claude.documents.max_characters)
            else:
                unread[name] = "empty: nothing that can be read"
        except FenceError as error:
            unread[name] = f"fenced: {error}"
    return requests, unread


def _labels(asker: Asker, text: str, answer: Answer) -> DocumentLabels:
    if answer.state != "done":
        why = f"{answer.state}: {answer.detail}"
        return unknown(text, noted(text, [why]) or why)
    forget = is_forget(asker.fence, answer.value)
    whole_N2 = np.array([[0, len(text.encode())]] if forget else [], dtype=np.int64).reshape(-1, 2)
    return DocumentLabels(spans_N2=whole_N2, document=float(forget), note=noted(text, []))
