"""Verb `label claude sentences`: which sentences of a document fall under the policy?

All sentences of a document stand numbered in one request, which is about as many times cheaper as there are sentences,
and may shift labels. So a few documents are asked about sentence by sentence too, before all others: where the two ways
disagree too often, the verb fails before it asks about the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.jobs.config.labelling import LabelConfig
from tokensieve.jobs.errors import VerbError
from tokensieve.jobs.labelling.claude import prompts
from tokensieve.jobs.labelling.claude.asker import Asker, states
from tokensieve.jobs.labelling.claude.canaries import sentence_canaries
from tokensieve.jobs.labelling.claude.chunks import FORGET, KEEP, UNKNOWN, Chunk, Sentences, chunks, in_range, pick, put
from tokensieve.jobs.labelling.claude.fence import FenceError, cap
from tokensieve.jobs.labelling.claude.request import Answer, Request
from tokensieve.jobs.labelling.claude.text_labels import noted, publish, sample
from tokensieve.jobs.labelling.documents import documents, write_json
from tokensieve.udfs.labels.labels import DocumentLabels

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAME = "claude-sentences"


class AgreementError(VerbError):
    """Joint and single answers about the same sentences differ too much; nothing was labelled."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Sentences by what was said of them together and alone; `unanswered` had no answer in one of the two ways."""

    documents: int
    both: int
    joint_only: int
    single_only: int
    neither: int
    unanswered: int

    @property
    def compared(self) -> int:
        return self.both + self.joint_only + self.single_only + self.neither

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; 1 where both ways say the same of all sentences, None where there is nothing to compare."""
        if not self.compared:
            return None
        joint = (self.both + self.joint_only) / self.compared
        single = (self.both + self.single_only) / self.compared
        agreed = (self.both + self.neither) / self.compared
        chance = joint * single + (1 - joint) * (1 - single)
        return 1.0 if agreed == 1 else (agreed - chance) / (1 - chance)

    def report(self, file: Path, floor: float, **made_by: str) -> None:
        """Writes the counts as JSON."""
        names = ("documents", "both", "joint_only", "single_only", "neither", "unanswered")
        counts = {name: getattr(self, name) for name in names}
        write_json(file, {**made_by, **counts, "kappa": self.kappa, "floor": floor})

    def refuse_below(self, floor: float, file: Path) -> None:
        """Raises AgreementError below the floor, and where sentences were asked about but none can be compared."""
        if self.kappa is None and self.unanswered:
            raise AgreementError(
                f"none of the {self.unanswered} sentences of the check was answered both together and alone ({file}); "
                "see the refusals in the ledger, or set claude.sentences.check_documents=0 to label without the check"
            )
        if self.kappa is not None and self.kappa < floor:
            raise AgreementError(
                f"sentences asked about together and alone agree with kappa {self.kappa:.3f}, below "
                f"claude.sentences.kappa_floor={floor}: of {self.compared} sentences {self.joint_only} are to be "
                f"forgotten only when asked together, {self.single_only} only when asked alone ({file}); ask about "
                "fewer at a time (claude.sentences.max_characters, max_sentences), or mend the policy's examples"
            )


def run(config: LabelConfig, spark: "SparkSession") -> dict[str, Any]:
    """Asks, then commits the label set `claude-sentences`. Raises AgreementError when the check fails."""
    asker = Asker.of(config)
    settings = asker.claude.sentences
    with documents(config.source, spark) as source:
        found = [_document(asker, name, text) for name, text in sample(source.frame, settings).items()]
        checked = found[: settings.check_documents]
        if asker.claude.dry_run:
            singles = [request for one in checked for _, request in _singles(asker, one)]
            joint = [request for one in found for _, request in one.asked]
            return asker.preview([*joint, *singles], sentence_canaries(asker.policy, asker.fence))
        agreement = _check(asker, checked)
        if checked:
            file = config.tables.folder / "claude" / "sentences-check.json"
            made_by = {"model": asker.claude.model, "definition_id": asker.policy.definition_id}
            agreement.report(file, settings.kappa_floor, joint=prompts.SENTENCES, single=prompts.SENTENCE, **made_by)
            agreement.refuse_below(settings.kappa_floor, file)
        answers = _ask(asker, found)
        labels = {one.name: one.labels() for one in found}
        inputs = {"prompt": prompts.SENTENCES, "model": asker.claude.model, "sample": settings.model_dump(mode="json")}
        result = publish(config, spark, NAME, source, labels, inputs)
        return result | {"answers": states(answers)} | ({"kappa": agreement.kappa} if checked else {})


@dataclass(frozen=True, kw_only=True)
class _Document:
    """A document under way: what is known of its sentences (int8 [S]), and why of the others it is not."""

    name: str
    sentences: Sentences
    asked: list[tuple[Chunk, Request]]
    states_S: np.ndarray
    reasons: list[str] = field(default_factory=list)

    def put(self, chunk: Chunk, answer: Answer) -> None:
        put(self.states_S, chunk, answer)
        if answer.state != "done":
            self.reasons.append(f"{answer.state}: {answer.detail}")

    def labels(self) -> DocumentLabels:
        blank = not len(self.states_S) or (not self.reasons and (self.states_S == UNKNOWN).any())
        reasons = ["empty: all or a part of it holds nothing that can be read"] if blank else self.reasons
        return self.sentences.labels(self.states_S, noted(self.sentences.text, reasons))


def _document(asker: Asker, name: str, text: str) -> _Document:
    sentences = Sentences.of(text)
    states_S = np.full(len(sentences.texts), UNKNOWN, dtype=np.int8)
    made = _Document(name=name, sentences=sentences, asked=[], states_S=states_S)
    for chunk in chunks(sentences, asker.claude.sentences):
        shown = [sentences.texts[at] for at in chunk.at]
        try:
            made.asked.append((chunk, prompts.sentences(asker.policy, asker.fence, chunk.context, shown)))
        except FenceError as error:
            made.reasons.append(f"fenced: {error}")
    return made


def _ask(asker: Asker, found: list[_Document], more: list[Request] | None = None) -> list[Answer]:
    """Answers about all chunks, which are put into their documents; then those to `more` requests."""
    asked = [(one, chunk, request) for one in found for chunk, request in one.asked]
    canaries = sentence_canaries(asker.policy, asker.fence)
    counts = [(request, len(chunk.at)) for _, chunk, request in asked]
    requests = [request for _, _, request in asked] + (more or [])
    answers = asker.ask(requests, in_range(counts), canaries)
    for (one, chunk, _), answer in zip(asked, answers):
        one.put(chunk, answer)
    return answers


def _check(asker: Asker, checked: list[_Document]) -> Agreement:
    """Asks about documents together and alone."""
    singles = [(one, at, request) for one in checked for at, request in _singles(asker, one)]
    counts = {"both": 0, "joint_only": 0, "single_only": 0, "neither": 0, "unanswered": 0}
    if singles:
        answers = _ask(asker, checked, [request for _, _, request in singles])[-len(singles) :]
        for (one, at, _), answer in zip(singles, answers, strict=True):
            counts[_compared(asker, int(one.states_S[at]), answer)] += 1
    for one in checked:  # the whole sample is asked about next, these again, for nothing
        one.states_S[:] = UNKNOWN
        one.reasons.clear()
    return Agreement(documents=len(checked), **counts)


def _compared(asker: Asker, joint: int, single: Answer) -> str:
    if joint == UNKNOWN or single.state != "done":
        return "unanswered"
    alone = FORGET if prompts.is_forget(asker.fence, single.value) else KEEP
    return {(1, 1): "both", (1, 0): "joint_only", (0, 1): "single_only", (0, 0): "neither"}[joint, alone]


def _singles(asker: Asker, document: _Document) -> Iterator[tuple[int, Request]]:
    """Places and requests of the sentences of a document that are also asked about alone."""
    settings, sentences = asker.claude.sentences, document.sentences
    context = cap(sentences.text, settings.max_characters)
    for at in pick(sentences.texts, document.name, settings.check_sentences):
        try:
            request = prompts.sentence(asker.policy, asker.fence, context, sentences.texts[at])
        except FenceError:  # one sentence fewer in the check
            continue
        yield at, request
