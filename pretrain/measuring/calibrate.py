"""Chooses thresholds, and the lexicon baselines' smoothing, on documents that nothing was fitted on.

Thresholds come from a split of their own: the paper's code chooses the one with the highest F1 on the balanced tokens
that it then reports F1 on. Which documents they were chosen on is kept by content, so that a report on the same
documents can be refused.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from tokensieve.pretrain.errors import GoalError
from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.pretrain.measuring.goals import Chosen, Goal, Name, Units, choose
from tokensieve.pretrain.measuring.histograms import auroc, best_level, level_probability
from tokensieve.pretrain.measuring.measure import Measured, measure
from tokensieve.pretrain.measuring.model import Model
from tokensieve.pretrain.measuring.schema import MODEL, BaselineFacts, Unit
from tokensieve.pretrain.measuring.sets import Chunk, in_memory
from tokensieve.pretrain.measuring.thresholds import (
    UNITS,
    CalibrationDocuments,
    achieved_metrics,
    cascade_record,
    threshold_records,
)
from tokensieve.udfs.bundles.bundle_spec import Cascade, Threshold
from tokensieve.udfs.labels.lexicon import Lexicon
from tokensieve.udfs.scores.stored_scores import grid_threshold


class SmoothConfig(BaseModel):
    """Reaches of the lexicon baselines in words to each side: small ones to choose from, and one wide passage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    small: list[int] = Field(default=[0, 1, 2, 4, 8], min_length=1)
    passage: int = 64

    @property
    def reaches(self) -> list[int]:
        """All of them, the word alone too."""
        return sorted({0, *self.small, self.passage})


class Goals(BaseModel):
    """One goal a threshold.

    Attributes:
        token, document: from which probability on a token, a document, counts as forbidden.
        cascade: below which document probability the tokens of a document are not looked at; a recall of documents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: Goal | None = Goal(f1="balanced")
    document: Goal | None = Goal(f1="balanced")
    cascade: Goal | None = None

    def by_name(self) -> dict[Name, Goal]:
        """The goals that are given, by the name of their threshold."""
        named: dict[Name, Goal | None] = {"token": self.token, "document": self.document, "cascade": self.cascade}
        return {name: goal for name, goal in named.items() if goal is not None}


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """Lexicon baselines by name, and their thresholds as grid levels by unit and name.

    `word` is the word alone, `lexicon` has the best of the small reaches, and `passage` the wide one: a naive Bayes
    classifier of the surroundings.
    """

    lexicons: dict[str, Lexicon]
    levels: dict[Unit, dict[str, int]]

    @classmethod
    def none(cls) -> "Baselines":
        """No baseline."""
        return cls(lexicons={}, levels={"token": {}, "document": {}})

    def facts(self) -> list[BaselineFacts]:
        """What a report says of them."""
        return [
            BaselineFacts(name=name, smooth=words.smooth, threshold=level_probability(self.levels["token"][name]))
            for name, words in self.lexicons.items()
        ]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The chosen thresholds by name (`Goals`), the baselines, and the documents that both were chosen on."""

    chosen: dict[Name, Chosen]
    baselines: Baselines
    documents: CalibrationDocuments

    @property
    def levels(self) -> dict[Unit, dict[str, int]]:
        """Grid levels by unit and scorer, as a report takes them; a unit without a goal is marked from one half on."""
        half = grid_threshold(0.5)
        chosen: dict[Unit, int] = {unit: self.chosen[unit].level if unit in self.chosen else half for unit in UNITS}
        return with_model(chosen, self.baselines)

    @property
    def thresholds(self) -> dict[Unit, Threshold]:
        """The thresholds as a bundle records them."""
        return threshold_records(self.chosen, self.documents)

    @property
    def cascade(self) -> Cascade | None:
        """The cascade as a bundle records it."""
        return cascade_record(self.chosen, self.documents)

    @property
    def metrics(self) -> dict[str, float]:
        """What the thresholds achieve on the calibration documents."""
        return achieved_metrics(self.chosen)


def calibrate(
    documents: Documents,
    model: Model,
    words: Lexicon,
    smooth: SmoothConfig,
    goals: Goals | None = None,
    *,
    labels: str = "coarse",
) -> Calibration:
    """Thresholds and smoothing from calibration documents, scored once.

    Args: `labels` names the label set that the documents are judged by.
    Raises Unreachable, GoalError when a goal cannot be met on them (`goals.choose`).
    """
    lexicons = {str(reach): replace(words, smooth=reach) for reach in smooth.reaches}
    measured = measure("calibration", in_memory(documents), model, lexicons)
    return Calibration(
        chosen=choose_thresholds(measured, (goals or Goals()).by_name()),
        baselines=choose_baselines(measured, words, smooth),
        documents=CalibrationDocuments.of(measured, labels),
    )


def measure_baselines(chunks: Iterable[Chunk], model: Model, words: Lexicon, smooth: SmoothConfig) -> Baselines:
    """Baselines alone, for a bundle that is calibrated already; of the model only the tokens are used."""
    lexicons = {str(reach): replace(words, smooth=reach) for reach in smooth.reaches}
    return choose_baselines(measure("baselines", chunks, model, lexicons), words, smooth)


def choose_thresholds(measured: Measured, goals: Mapping[Name, Goal]) -> dict[Name, Chosen]:
    """The thresholds that meet the goals, by the names of `Goals`. Raises as `goals.choose`, naming the threshold."""
    chosen: dict[Name, Chosen] = {}
    for name, goal in goals.items():
        unit: Unit = "token" if name == "token" else "document"
        try:
            chosen[name] = choose(goal, Units(counts=measured.counts[unit][MODEL], domains=measured.domains))
        except GoalError as error:
            raise type(error)(f"goal of the {name} threshold: {error}") from None
    return chosen


def choose_baselines(measured: Measured, words: Lexicon, smooth: SmoothConfig) -> Baselines:
    """Smoothing by token AUROC, thresholds by balanced F1; `measured` has a scorer named by each reach."""
    best = max(smooth.small, key=lambda reach: float(auroc(*measured.counts["token"][str(reach)].pooled)))
    reaches = {"word": 0, "lexicon": best, "passage": smooth.passage}
    return Baselines(
        lexicons={name: replace(words, smooth=reach) for name, reach in reaches.items()},
        levels={
            unit: {name: best_level(*counts[str(reach)].pooled) for name, reach in reaches.items()}
            for unit, counts in measured.counts.items()
        },
    )


def with_model(levels: Mapping[Unit, int], baselines: Baselines) -> dict[Unit, dict[str, int]]:
    """The model's levels by threshold name beside those of the baselines, by unit and scorer."""
    return {unit: {MODEL: levels[unit], **by} for unit, by in baselines.levels.items()}
