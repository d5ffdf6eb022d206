"""One evaluation set to one SetReport: the only path on which figures of a classifier are made.

A recipe reports on its held-out documents through it, `tokensieve fit report` on any set; nothing else computes them.
"""

from collections.abc import Iterable, Mapping, Sequence

from tokensieve.pretrain.errors import ReportError
from tokensieve.pretrain.measuring.curves import reliability, sweep
from tokensieve.pretrain.measuring.histograms import Histograms
from tokensieve.pretrain.measuring.leaks import Seen
from tokensieve.pretrain.measuring.measure import Measured, measure
from tokensieve.pretrain.measuring.mistakes import Mistakes
from tokensieve.pretrain.measuring.model import Model
from tokensieve.pretrain.measuring.rows import Levels, rows
from tokensieve.pretrain.measuring.schema import MODEL, InputFile, SetReport, Unit
from tokensieve.pretrain.measuring.sets import Chunk, EvaluationSet, chunks, input_files
from tokensieve.udfs.labels.lexicon import Lexicon


def set_report(
    name: str,
    parts: Iterable[Chunk],
    model: Model,
    baselines: Mapping[str, Lexicon],
    levels: Levels,
    seed: int,
    *,
    definition: str = "",
    inputs: Sequence[tuple[str, str]] = (),
    prevalence: float | None = None,
    mistakes: int = 0,
    seen: Sequence[Seen] = (),
) -> SetReport:
    """Scores the documents and makes all figures of them.

    Raises LeakError, ReportError as `measure`; ReportError when no unit at all has a label.
    """
    wrong = Mistakes(level=levels["token"][MODEL], limit=mistakes)
    measured = measure(name, parts, model, baselines, seen=seen, mistakes=wrong)
    found = rows(measured, levels, seed, prevalence)
    if not found:
        raise ReportError(f"{name}: none of its {len(measured)} documents has a label; label them first")
    labelled = _both_classes(measured)
    return SetReport(
        name=name,
        definition=definition,
        inputs=[InputFile(path=path, sha256=sha256) for path, sha256 in inputs],
        documents=len(measured),
        left_out=measured.left_out,
        rows=found,
        reliability=[reliability(unit, counts, seed) for unit, counts in labelled.items()],
        sweeps=[sweep(unit, counts, prevalence) for unit, counts in labelled.items()],
        mistakes=wrong.worst(),
    )


def evaluate_set(
    config: EvaluationSet,
    model: Model,
    baselines: Mapping[str, Lexicon],
    levels: Levels,
    seed: int,
    *,
    seen: Sequence[Seen] = (),
    definition_id: str | None = None,
) -> SetReport:
    """`set_report` of a configured set. Raises also as `sets.chunks` does."""
    return set_report(
        config.name,
        chunks(config.sources, definition_id),
        model,
        baselines,
        levels,
        seed,
        definition=config.definition,
        inputs=input_files(config.sources),
        prevalence=config.prevalence,
        mistakes=config.mistakes,
        seen=seen,
    )


def _both_classes(measured: Measured) -> dict[Unit, Histograms]:
    """The model's histograms of the units that have labels of both classes."""
    model: dict[Unit, Histograms] = {unit: counts[MODEL] for unit, counts in measured.counts.items()}
    return {unit: one for unit, one in model.items() if one.positive_DQ.any() and one.negative_DQ.any()}
