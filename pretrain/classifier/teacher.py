"""A finished bundle as a labeller of documents: the way to weak-to-strong training and to distillation.

The teacher's scores become spans of bytes like any label set's, so teacher and student may have different tokenizers.
Soft labels keep its doubt; hard ones ask for a threshold first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.udfs.bundles.bundle import Bundle, resolve
from tokensieve.udfs.labels.labels import DocumentLabels, unknown
from tokensieve.udfs.scores.stored_scores import grid_threshold, probabilities
from tokensieve.udfs.scoring.batch_group import Scored
from tokensieve.udfs.scoring.scorer import Scorer, ScorerSettings

_BATCH = 64  # documents at a time


class TeacherConfig(BaseModel):
    """Labels by a bundle in place of the corpus's own, for training and for the choice of thresholds.

    Attributes:
        bundle: its folder, or the name of an installed one.
        soft: training targets are the bundle's probabilities; otherwise its decisions. Calibration documents always
            get its decisions.
        threshold: probability from which a token is forbidden; None takes the bundle's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    soft: bool = True
    threshold: float | None = Field(default=None, gt=0, lt=1)


@dataclass(frozen=True, kw_only=True)
class Taught:
    """Documents with a teacher's labels; `unknown` of them could not be scored and are left out."""

    documents: Documents
    unknown: int


class Teacher:
    """A bundle that labels documents.

    Raises BundleError when there is no such bundle.
    """

    def __init__(self, config: TeacherConfig, threads: int, device: str = "cpu") -> None:
        self.bundle = Bundle.load(resolve(config.bundle))
        thresholds = self.bundle.spec.thresholds
        self._token_level = grid_threshold(config.threshold or thresholds["token"].value)
        self._document = thresholds["document"].value if "document" in thresholds else 0.5
        settings = ScorerSettings(
            bundles=(("teacher", str(self.bundle.path), self.bundle.bundle_id),),
            device=device,
            dtype="float32",
            token_budget=8192,
            threads=threads,
        )
        self._scorer = Scorer(settings)

    def label(self, documents: Documents, *, soft: bool) -> Taught:
        """The documents under the teacher's labels: probabilities, or 0 and 1 by its thresholds."""
        labels: list[DocumentLabels] = []
        for first in range(0, len(documents), _BATCH):
            texts = documents.texts[first : first + _BATCH]
            labels += self._label(self._scorer(texts)["teacher"], texts, soft)
        known_D = np.array([one.document is not None for one in labels], dtype=bool)
        positive_D = np.array([one.document is not None and one.document >= self._document for one in labels])
        kept = replace(documents, labels=labels, positive_D=positive_D.astype(bool)).where(known_D)
        return Taught(documents=kept, unknown=int((~known_D).sum()))

    def _label(self, scored: Scored, texts: Sequence[str], soft: bool) -> list[DocumentLabels]:
        value_T = probabilities(scored.scores_T) if soft else (scored.scores_T >= self._token_level).astype(np.float32)
        labels = []
        for d, text in enumerate(texts):
            part = slice(int(scored.tokens.bounds_D1[d]), int(scored.tokens.bounds_D1[d + 1]))
            if scored.broken_D[d] or part.start == part.stop:
                labels.append(unknown(text, "unscored: the teacher gave no score"))
                continue
            spans_N2, value_N = value_spans(value_T[part], scored.tokens.bytes_T[part])
            probability = float(scored.document_score_D[d])
            document = probability if soft else float(probability >= self._document)
            labels.append(DocumentLabels(spans_N2=spans_N2, value_N=value_N, document=document))
        return labels


def value_spans(value_T: np.ndarray, bytes_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Byte spans int64 [N, 2] of neighbouring tokens of one value above 0, and the values float32 [N]."""
    some_T = bytes_T > 0
    value_T, end_T = value_T[some_T], np.cumsum(bytes_T[some_T], dtype=np.int64)
    last_N = np.flatnonzero(np.append(value_T[1:] != value_T[:-1], True)) if len(value_T) else np.zeros(0, np.int64)
    start_N = np.concatenate([[0], end_T[last_N[:-1]]]) if len(last_N) else last_N
    spans_N2, value_N = np.stack([start_N, end_T[last_N]], axis=1), value_T[last_N]
    return spans_N2[value_N > 0], value_N[value_N > 0]
