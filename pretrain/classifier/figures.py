"""A recipe's report on its own classifier: held-out documents by domain, and texts marked by human annotators.

Made on the same path as `tokensieve fit report`. The flat names are those of `bundle.json`, where a figure is one
number; nothing is in there that the report does not have with its interval.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tokensieve.pretrain.labelled.corpus import Corpus
from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.pretrain.measuring.bootstrap import Estimate
from tokensieve.pretrain.measuring.build import evaluate_set, set_report
from tokensieve.pretrain.measuring.calibrate import Baselines, Calibration
from tokensieve.pretrain.measuring.leaks import Seen, content_keys, unseen
from tokensieve.pretrain.measuring.model import Model
from tokensieve.pretrain.measuring.schema import MODEL, Row, SetReport
from tokensieve.pretrain.measuring.sets import EvaluationSet, LabelledSource, chunks, in_memory
from tokensieve.pretrain.measuring.thresholds import USED_FOR

HELDOUT = "Documents kept apart from training; a token has its document's label, so this rewards recognising a topic."
SPAN_SETS = {
    "craft.disease_in_biology": (
        "CRAFT: disease tokens against the other tokens of the same biology articles, marked by people; this rewards "
        "finding single terms."
    ),
    "bc5cdr.spans_in_abstracts": (
        "BC5CDR: disease and chemical tokens against the other tokens of the same abstracts, marked by people; other "
        "medical words count as mistakes."
    ),
    "bc5cdr.spans_against_negatives": (
        "BC5CDR: disease and chemical tokens against tokens of texts presumed free of medicine; all other text of the "
        "abstracts is left out."
    ),
}


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

    def sets(self) -> list[EvaluationSet]:
        """The evaluation sets of these files."""
        found: dict[str, list[LabelledSource]] = {}
        if self.craft:
            found["craft.disease_in_biology"] = [self._source(self.craft)]
        if self.bc5cdr:
            found["bc5cdr.spans_in_abstracts"] = [self._source(self.bc5cdr)]
        if self.bc5cdr and self.negatives:
            terms = self._source(self.bc5cdr).model_copy(update={"unmarked": "unknown"})
            # Openings of documents of the same sources: some are whole documents of the corpus.
            negatives = self._source(self.negatives).model_copy(update={"used_before": "leave_out"})
            found["bc5cdr.spans_against_negatives"] = [terms, negatives]
        return [
            EvaluationSet(name=name, definition=SPAN_SETS[name], sources=sources) for name, sources in found.items()
        ]

    def _source(self, path: Path) -> LabelledSource:
        return LabelledSource(documents=str(path), spans=self.prefix)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Reports on the sets, held-out documents first, and the baselines that they are compared with."""

    sets: list[SetReport]
    baselines: Baselines

    def metrics(self) -> dict[str, float]:
        """Flat names and values for bundle.json, rounded to what the intervals can bear.

        Undecided figures are left out. An AUROC has its interval beside it, as `.low` and `.high`; so has the model's
        lead over a baseline, `model_minus_NAME.auroc`.
        """
        flat = {f"{name}.smooth": float(words.smooth) for name, words in self.baselines.lexicons.items()}
        for one in self.sets:
            for row in one.rows:
                if row.kind != "source":
                    flat |= _flat(row_name(one, row), row)
        return {name: round(value, 4) for name, value in flat.items()}

    def lines(self) -> list[str]:
        """One line a row of tokens, for the terminal."""
        lines = []
        for one in self.sets:
            for row in one.rows:
                if row.unit == "token" and row.kind != "source":
                    cells = [f"{who} {figures.auroc.text(4)}" for who, figures in row.scorers.items()]
                    lines.append("  ".join([f"{row_name(one, row):34}", *cells]))
        return lines


def seen_documents(corpus: Corpus) -> list[Seen]:
    """The documents that must not be reported on."""
    return [
        Seen(what="train it", keys_K=content_keys(corpus.training.texts)),
        Seen(what=USED_FOR, keys_K=content_keys(corpus.calibration.texts)),
    ]


def check_sets(spans: SpanFiles, seen: Sequence[Seen]) -> None:
    """Reads the span files as `measure_all` will, so that a wrong one stops a recipe before it trains. Raises so."""
    for one in spans.sets():
        for chunk in chunks(one.sources):
            unseen(one.name, chunk, seen)


def measure_all(
    heldout: Documents, spans: SpanFiles, model: Model, calibration: Calibration, seen: Sequence[Seen], seed: int
) -> Figures:
    """Measures on held-out documents and, where given, on human spans.

    Raises LeakError for a document that was used before, ReportError where a set has no labelled document.
    """
    levels, lexicons = calibration.levels, calibration.baselines.lexicons
    own = set_report(
        "heldout",
        in_memory(heldout),
        model,
        lexicons,
        levels,
        seed,
        definition=HELDOUT if heldout.labels is None else "Documents kept apart from training, token labels.",
        seen=seen,
    )
    marked = [evaluate_set(one, model, lexicons, levels, seed, seen=seen) for one in spans.sets()]
    return Figures(sets=[own, *marked], baselines=calibration.baselines)


def row_name(report: SetReport, row: Row) -> str:
    """The flat name of a row: the set, its unit where there are several, and the group."""
    several = len({other.unit for other in report.rows}) > 1
    name = f"{report.name}.{row.unit}" if several else report.name
    if row.kind == "all":
        return name
    return f"{name}.against_{row.group}" if row.borrowed == "positives" else f"{name}.{row.kind}_{row.group}"


def _flat(name: str, row: Row) -> dict[str, float]:
    flat: dict[str, float] = {}
    for who, figures in row.scorers.items():
        flat |= _with_interval(f"{name}.{who}.auroc", figures.auroc)
        if row.kind == "all":
            single = {"recall": figures.recall, "average_precision": figures.natural.average_precision}
            for share, at in (("balanced", figures.balanced), ("natural", figures.natural)):
                single |= {f"{share}.f1": at.f1, f"{share}.precision": at.precision}
            flat |= {f"{name}.{who}.{key}": one.value for key, one in single.items() if one.value is not None}
            flat |= {} if row.prevalence is None else {f"{name}.{who}.prevalence": row.prevalence}
    for who, differences in row.differences.items():
        flat |= _with_interval(f"{name}.{MODEL}_minus_{who}.auroc", differences["auroc"])
    return flat


def _with_interval(name: str, estimate: Estimate) -> Iterator[tuple[str, float]]:
    for key, value in (("", estimate.value), (".low", estimate.low), (".high", estimate.high)):
        if value is not None:
            yield f"{name}{key}", value
