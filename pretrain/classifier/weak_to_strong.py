"""Weak-to-strong training: how much of the way to a strong classifier does a weak one's labels lead (arXiv 2601.21571)?

The weak classifier learns the true labels of one half of the training documents, by content hash; the strong one learns
the other half, once from the weak one's labels and once from the true ones. All are reported on the same held-out
documents. Recovered gap (PGR) = (weak-to-strong - weak) / (strong - weak).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokensieve.pretrain.classifier.config import FitConfig
from tokensieve.pretrain.classifier.recipe import fit
from tokensieve.pretrain.classifier.teacher import TeacherConfig
from tokensieve.pretrain.errors import FitError
from tokensieve.udfs.bundles.bundle import Bundle

METRICS = ("heldout.token.model.auroc", "heldout.token.model.balanced.f1")


@dataclass(frozen=True, kw_only=True)
class RecoveredGap:
    """One metric of the three classifiers; `value` is NaN where there is no gap to recover, and `reason` says so."""

    metric: str
    weak: float
    weak_to_strong: float
    strong: float
    value: float
    reason: str | None = None


def recovered_gap(metric: str, *, weak: float, weak_to_strong: float, strong: float) -> RecoveredGap:
    """The share of the gap that weak labels recover: below 0 where they harm, above 1 where they beat true labels.

    A gap that is not positive has no share: the value is NaN, whatever the weak-to-strong figure is.
    """
    gap = strong - weak
    known = all(map(math.isfinite, (weak, weak_to_strong, strong)))
    reason = None
    if not known:
        reason = f"{metric} is not known of all three classifiers"
    elif gap <= 0:
        reason = f"no gap to recover: with true labels the strong one has {strong:.4f}, the weak one {weak:.4f}"
    return RecoveredGap(
        metric=metric,
        weak=weak,
        weak_to_strong=weak_to_strong,
        strong=strong,
        value=float("nan") if reason else (weak_to_strong - weak) / gap,
        reason=reason,
    )


def fit_weak_to_strong(
    weak: FitConfig,
    strong: FitConfig,
    folder: Path,
    report: Callable[[str], None] = print,
    *,
    metrics: Sequence[str] = METRICS,
    soft: bool = False,
    definition_id: str | None = None,
) -> list[RecoveredGap]:
    """Fits the three classifiers and compares them by figures that their bundles state.

    Args:
        weak, strong: recipes over the same corpus, without a teacher or a half.
        folder: where the bundles `weak`, `weak-to-strong` and `strong` go.
        soft: whether the strong one learns the weak one's probabilities or its decisions.

    Raises:
        FitError: the recipes do not read the same documents, or have a teacher or a half already; as `fit`.
        FitError: a bundle does not state a metric; the message lists those that it states.
    """
    _check(weak, strong)
    teacher = TeacherConfig(bundle=str(folder / "weak"), soft=soft)
    figures = {
        "weak": _figures(weak, folder / "weak", "first", None, report, definition_id),
        "weak_to_strong": _figures(strong, folder / "weak-to-strong", "second", teacher, report, definition_id),
        "strong": _figures(strong, folder / "strong", "second", None, report, definition_id),
    }
    for who, known in figures.items():
        if lacking := [metric for metric in metrics if metric not in known]:
            raise FitError(f"{who}: the bundle states no {lacking[0]}; it states {', '.join(sorted(known))}")
    return [recovered_gap(metric, **{who: known[metric] for who, known in figures.items()}) for metric in metrics]


def _check(weak: FitConfig, strong: FitConfig) -> None:
    if weak.corpus != strong.corpus:
        raise FitError("weak and strong must have the same section corpus, or their figures do not compare")
    for name, config in (("weak", weak), ("strong", strong)):
        if config.teacher is not None or config.corpus.half is not None:
            raise FitError(f"the {name} recipe has a teacher or corpus.half already; weak-to-strong sets both itself")


def _figures(
    config: FitConfig,
    out: Path,
    half: str,
    teacher: TeacherConfig | None,
    report: Callable[[str], None],
    definition_id: str | None,
) -> dict[str, float]:
    corpus = config.corpus.model_copy(update={"half": half})
    changed = config.model_copy(update={"corpus": corpus, "teacher": teacher, "out": out, "name": out.name})
    report(f"--- {out.name}")
    fit(changed, report, definition_id=definition_id)
    return Bundle.load(out).spec.metrics
