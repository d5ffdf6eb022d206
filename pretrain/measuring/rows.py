"""One row a group of documents: every scorer's figures with their intervals, and the model's lead over each baseline.

With coarse labels a source or a domain often has one class only. Such a group borrows the other class from the whole
set ("medicine against biology"), which the row says; what needs one class alone, such as a false-positive rate, is the
group's own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tokensieve.pretrain.measuring.bootstrap import DRAWS, Draws, Estimate
from tokensieve.pretrain.measuring.histograms import (
    Histograms,
    Operating,
    auroc,
    average_precision,
    level_probability,
    operating,
)
from tokensieve.pretrain.measuring.measure import Measured
from tokensieve.pretrain.measuring.schema import MODEL, AtShare, Row, ScorerFigures, Unit

Levels = Mapping[Unit, Mapping[str, int]]
COMPARED = ("auroc", "balanced.f1", "balanced.average_precision", "natural.f1", "natural.average_precision")


@dataclass(frozen=True, kw_only=True)
class _Group:
    kind: str
    name: str
    mask_D: np.ndarray


def rows(
    measured: Measured, levels: Levels, seed: int, prevalence: float | None = None, draws: int = DRAWS
) -> list[Row]:
    """All rows of a set for each unit that has a label: the whole, then domains, then sources, where there are several.

    Args: by unit and scorer the level from which on a unit is marked; the share of positives that natural figures are
    at (None: the group's own).
    """
    found = []
    for unit, counts in measured.counts.items():
        positive_Q, negative_Q = counts[MODEL].pooled
        if positive_Q.sum() + negative_Q.sum() == 0:
            continue
        for group in _groups(measured):
            row = _row(unit, group, counts, levels[unit], seed, prevalence, draws)
            if row.positives + row.negatives:
                found.append(row)
    return found


def _groups(measured: Measured) -> Iterator[_Group]:
    yield _Group(kind="all", name="", mask_D=np.ones(len(measured), dtype=bool))
    for kind, name_D in (("domain", measured.domains), ("source", measured.sources)):
        names = sorted(set(name_D.tolist()) - {""})
        for name in names if len(names) > 1 else []:
            yield _Group(kind=kind, name=name, mask_D=name_D == name)


def _row(
    unit: Unit,
    group: _Group,
    counts: Mapping[str, Histograms],
    levels: Mapping[str, int],
    seed: int,
    prevalence: float | None,
    draws: int,
) -> Row:
    borrowed, mask_D = _borrowed(counts[MODEL], group.mask_D)
    own = {who: part.where(group.mask_D) for who, part in counts.items()}
    both = {who: _with_borrowed(part, group.mask_D, mask_D, borrowed) for who, part in counts.items()}
    drawn = Draws.of(int(mask_D.sum()), seed, draws)
    own_at_D = group.mask_D[mask_D]
    measured = {who: _scorer(both[who], own_at_D, borrowed, levels[who], prevalence, drawn) for who in counts}
    positive_Q, negative_Q = both[MODEL].pooled
    known = positive_Q.sum() + negative_Q.sum()
    return Row.model_validate(
        {
            "unit": unit,
            "kind": group.kind,
            "group": group.name,
            "borrowed": borrowed,
            "documents": int(group.mask_D.sum()),
            "positives": int(positive_Q.sum()),
            "negatives": int(negative_Q.sum()),
            "unknown": int(own[MODEL].unknown_DQ.sum()),
            "prevalence": prevalence if prevalence is not None else float(positive_Q.sum() / known) if known else None,
            "scorers": {who: figures.record for who, figures in measured.items()},
            "differences": {
                who: {
                    name: drawn.estimate(
                        measured[MODEL].values[name] - figures.values[name],
                        measured[MODEL].draws[name] - figures.draws[name],
                    )
                    for name in COMPARED
                }
                for who, figures in measured.items()
                if who != MODEL
            },
        }
    )


def _borrowed(counts: Histograms, mask_D: np.ndarray) -> tuple[str | None, np.ndarray]:
    """Which class the group borrows, and the documents that then take part."""
    own = counts.where(mask_D)
    for name, own_DQ, all_DQ in (
        ("positives", own.positive_DQ, counts.positive_DQ),
        ("negatives", own.negative_DQ, counts.negative_DQ),
    ):
        if not own_DQ.any() and all_DQ.any() and (own.positive_DQ.any() or own.negative_DQ.any()):
            return name, mask_D | all_DQ.any(axis=1)
    return None, mask_D


def _with_borrowed(counts: Histograms, group_D: np.ndarray, mask_D: np.ndarray, borrowed: str | None) -> Histograms:
    """The documents that take part; of those outside the group only the borrowed class is known."""
    outside_D = ~group_D
    none_D = np.zeros_like(outside_D)
    drop_positive_D = outside_D if borrowed != "positives" else none_D
    drop_negative_D = outside_D if borrowed != "negatives" else none_D
    return counts.without(positive_D=drop_positive_D, negative_D=drop_negative_D).where(mask_D)


@dataclass(frozen=True, kw_only=True)
class _Figures:
    """A scorer's record, and the figures that are compared: values, and float64 [R] over the draws."""

    record: ScorerFigures
    values: dict[str, float]
    draws: dict[str, np.ndarray]


def _scorer(
    counts: Histograms, own_D: np.ndarray, borrowed: str | None, level: int, prevalence: float | None, drawn: Draws
) -> _Figures:
    positive_RQ, negative_RQ = drawn.sums(counts.positive_DQ), drawn.sums(counts.negative_DQ)
    unknown_RQ = drawn.sums(counts.unknown_DQ * own_D[:, None])
    one, many = _flat(*counts.pooled, level, prevalence), _flat(positive_RQ, negative_RQ, level, prevalence)
    unknown_Q = (counts.unknown_DQ * own_D[:, None]).sum(axis=0)
    # Of a borrowed class nothing is counted as marked: it is not in the group.
    keep_positive, keep_negative = borrowed != "positives", borrowed != "negatives"
    positive_Q, negative_Q = counts.pooled
    one["marked"] = _marked(positive_Q * keep_positive, negative_Q * keep_negative, unknown_Q, level)
    many["marked"] = _marked(positive_RQ * keep_positive, negative_RQ * keep_negative, unknown_RQ, level)
    found = {name: drawn.estimate(value, many[name]) for name, value in one.items()}
    record = ScorerFigures(
        threshold=level_probability(level),
        auroc=found["auroc"],
        recall=_own(found["recall"], borrowed == "positives"),
        false_positive_rate=_own(found["false_positive_rate"], borrowed == "negatives"),
        marked=found["marked"],
        balanced=_at_share(found, "balanced"),
        natural=_at_share(found, "natural"),
    )
    return _Figures(record=record, values={name: float(value) for name, value in one.items()}, draws=many)


def _flat(
    positive_Q: np.ndarray, negative_Q: np.ndarray, level: int, prevalence: float | None
) -> dict[str, np.ndarray]:
    """All figures of [..., 256] by name."""
    figures = {"auroc": auroc(positive_Q, negative_Q)}
    for name, share in (("balanced", 0.5), ("natural", prevalence)):
        at: Operating = operating(positive_Q, negative_Q, level, share)
        figures |= {f"{name}.precision": at.precision, f"{name}.f1": at.f1}
        figures[f"{name}.average_precision"] = average_precision(positive_Q, negative_Q, share)
        figures |= {"recall": at.recall, "false_positive_rate": at.false_positive_rate}
    return figures


def _marked(positive_Q: np.ndarray, negative_Q: np.ndarray, unknown_Q: np.ndarray, level: int) -> np.ndarray:
    all_Q = positive_Q + negative_Q + unknown_Q
    total = all_Q.sum(axis=-1)
    return np.where(total > 0, all_Q[..., level:].sum(axis=-1) / np.maximum(total, 1), np.nan)


def _own(found: Estimate, is_borrowed: bool) -> Estimate:
    return Estimate(value=None) if is_borrowed else found


def _at_share(found: Mapping[str, Estimate], name: str) -> AtShare:
    return AtShare(
        precision=found[f"{name}.precision"],
        f1=found[f"{name}.f1"],
        average_precision=found[f"{name}.average_precision"],
    )
