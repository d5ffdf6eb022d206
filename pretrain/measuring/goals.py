"""What a threshold is to achieve, and the grid level that does: F1, a share, a recall, or a false-positive rate.

A goal that the stored grid cannot meet is refused with the range that it can, rather than met "as well as possible": a
bundle must not say recall 0.99 when it marks everything to get there.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokensieve.pretrain.errors import GoalError, Unreachable
from tokensieve.pretrain.measuring.histograms import LEVELS, Histograms, every_level, level_probability

SHARE_TOLERANCE = 0.1  # of the wanted share: how far off the nearest level may be
_KINDS = ("f1", "share", "recall", "false_positive_rate")
Rate = float
Name = Literal["token", "document", "cascade"]  # of a threshold


class Goal(BaseModel):
    """Exactly one of:

    Attributes:
        f1: the highest F1, with both classes weighing the same (`balanced`, as in arXiv 2601.21571) or as they are
            counted (`prevalence`).
        share: so large a share of all units is marked; the paper sweeps 0.03 to 0.5.
        recall: at least this share of the positive units is marked, and as few others as possible.
        false_positive_rate: by retain domain, at most this share of its negative units is marked, and as many positive
            ones as possible.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    f1: Literal["balanced", "prevalence"] | None = None
    share: float | None = Field(default=None, gt=0, lt=1)
    recall: float | None = Field(default=None, gt=0, le=1)
    false_positive_rate: dict[str, Rate] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> "Goal":
        given = [name for name in _KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a goal is exactly one of {', '.join(_KINDS)}, not {' and '.join(given) or 'none'}")
        for domain, rate in (self.false_positive_rate or {}).items():
            if not 0 <= rate < 1:
                raise ValueError(f"false_positive_rate.{domain} is a share from 0 to below 1, not {rate}")
        return self

    def __str__(self) -> str:
        if self.f1 is not None:
            return f"maximum F1, {'both classes weighing the same' if self.f1 == 'balanced' else 'at prevalence'}"
        if self.share is not None:
            return f"{self.share:g} of all units marked"
        if self.recall is not None:
            return f"recall at least {self.recall:g}"
        limits = (self.false_positive_rate or {}).items()
        return "false-positive rate " + ", ".join(f"on {domain} at most {rate:g}" for domain, rate in limits)


@dataclass(frozen=True, kw_only=True)
class Units:
    """D documents' units with their domains, and what every level 0 to 256 marks of them: float64 [257] each."""

    counts: Histograms
    domains: np.ndarray

    @cached_property
    def recall_L(self) -> np.ndarray:
        """Marked share of the positive units."""
        return every_level(*self.counts.pooled).recall

    @cached_property
    def marked_L(self) -> np.ndarray:
        """Marked share of all units, those of unknown label too."""
        positive_Q, negative_Q = self.counts.pooled
        return _at_or_above(positive_Q + negative_Q + self.counts.unknown_DQ.sum(axis=0))

    def false_positives(self, domain: str) -> np.ndarray:
        """Marked share of a domain's negative units at every level: float64 [257]."""
        return _at_or_above(self.counts.where(self.domains == domain).negative_DQ.sum(axis=0))


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A level, its probability, and what it achieves on the documents that it was chosen on."""

    goal: Goal
    level: int
    achieved: dict[str, float]

    @property
    def threshold(self) -> float:
        """The probability from which on a unit is marked."""
        return level_probability(self.level)


def choose(goal: Goal, units: Units) -> Chosen:
    """The level that meets the goal.

    Raises:
        Unreachable: no level but one that marks all units, or none, meets it.
        GoalError: the units lack what the goal speaks of (a class, a domain).
    """
    if goal.f1 is not None:
        level = _best_f1(goal, units)
    elif goal.share is not None:
        level = _share(goal.share, units)
    elif goal.recall is not None:
        level = _recall(goal.recall, units)
    else:
        level = _false_positives(goal.false_positive_rate or {}, units)
    return Chosen(goal=goal, level=level, achieved=_achieved(goal, units, level))


def _best_f1(goal: Goal, units: Units) -> int:
    _need(units, positives=True, negatives=True)
    f1_L = every_level(*units.counts.pooled, 0.5 if goal.f1 == "balanced" else None).f1
    return int(np.argmax(f1_L[:LEVELS]))


def _share(wanted: float, units: Units) -> int:
    marked_L = units.marked_L
    if np.isnan(marked_L).any():
        raise GoalError("there is no unit to choose a threshold on; give documents with text")
    level = 1 + int(np.argmin(np.abs(marked_L[1:LEVELS] - wanted)))
    if abs(marked_L[level] - wanted) > SHARE_TOLERANCE * wanted:
        above, below = marked_L[marked_L >= wanted].min(), marked_L[marked_L < wanted].max()
        raise Unreachable(
            f"share {wanted:g} cannot be met: neighbouring thresholds mark {below:.4g} and {above:.4g} of the units; "
            f"thresholds from {level_probability(1):.4g} to {level_probability(LEVELS - 1):.4g} mark "
            f"{marked_L[1]:.4g} down to {marked_L[LEVELS - 1]:.4g}"
        )
    return level


def _recall(wanted: float, units: Units) -> int:
    _need(units, positives=True)
    recall_L = units.recall_L
    level = int(np.flatnonzero(recall_L >= wanted - 1e-12)[-1])
    if level == 0:
        raise Unreachable(
            f"recall {wanted:g} cannot be met without marking every unit: the lowest threshold of the grid, "
            f"{level_probability(1):.4g}, reaches {recall_L[1]:.4g}; recalls from {recall_L[LEVELS - 1]:.4g} to "
            f"{recall_L[1]:.4g} can be met"
        )
    return level


def _false_positives(limits: dict[str, Rate], units: Units) -> int:
    levels = []
    for domain, limit in limits.items():
        rate_L = units.false_positives(domain)
        if np.isnan(rate_L).any():
            known = ", ".join(sorted(set(units.domains.tolist()) - {""})) or "none"
            raise GoalError(f"domain {domain!r} has no unit that is labelled retain; domains here: {known}")
        level = int(np.flatnonzero(rate_L <= limit + 1e-12)[0])
        if level == LEVELS:
            raise Unreachable(
                f"a false-positive rate of {limit:g} on {domain} cannot be met without marking nothing at all: the "
                f"highest threshold of the grid, {level_probability(LEVELS - 1):.6g}, still marks "
                f"{rate_L[LEVELS - 1]:.4g}; rates from {rate_L[LEVELS - 1]:.4g} to {rate_L[1]:.4g} can be met"
            )
        levels.append(level)
    return max(levels)


def _achieved(goal: Goal, units: Units, level: int) -> dict[str, float]:
    """Figures at the level; those that need a class which is missing are left out."""
    natural, balanced = every_level(*units.counts.pooled), every_level(*units.counts.pooled, 0.5)
    figures = {
        "marked": units.marked_L[level],
        "recall": units.recall_L[level],
        "false_positive_rate": natural.false_positive_rate[level],
        "precision": natural.precision[level],
        "f1": natural.f1[level],
        "balanced_f1": balanced.f1[level],
    }
    for domain in goal.false_positive_rate or {}:
        figures[f"false_positive_rate.{domain}"] = units.false_positives(domain)[level]
    return {name: round(float(value), 6) for name, value in figures.items() if np.isfinite(value)}


def _need(units: Units, *, positives: bool = False, negatives: bool = False) -> None:
    for wanted, name, counts_DQ in (
        (positives, "forget", units.counts.positive_DQ),
        (negatives, "retain", units.counts.negative_DQ),
    ):
        if wanted and not counts_DQ.any():
            raise GoalError(f"no unit is labelled {name!r}; a threshold for this goal needs some")


def _at_or_above(counts_Q: np.ndarray) -> np.ndarray:
    """Share of the units at or above each level 0 to 256: float64 [257], NaN without units."""
    total = counts_Q.sum()
    above_L = np.append(np.cumsum(counts_Q[::-1])[::-1], 0)
    return above_L / total if total else np.full(LEVELS + 1, np.nan)
