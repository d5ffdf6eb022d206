"""The scoring stage inside an executor: splits or rows in, scored rows and faults out, as Arrow record batches.

Scored rows and quarantined ones leave in one stream of one schema, told apart by `reason`: one pass of the model
feeds both tables, and a retried task repeats both.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from tokensieve.udfs.reading.parts import Faults, numbered_rows
from tokensieve.udfs.reading.read_shard import read_split
from tokensieve.udfs.reading.split import sent_splits
from tokensieve.udfs.reading.text_rows import document_ids, text_faults
from tokensieve.udfs.scoring.batch_group import Request
from tokensieve.udfs.scoring.heartbeat import heartbeat
from tokensieve.udfs.scoring.meter import Meter
from tokensieve.udfs.scoring.run_ahead import ahead
from tokensieve.udfs.scoring.score_plan import ScorePlan
from tokensieve.udfs.scoring.scored_rows import Ready, fault_rows, scored_rows
from tokensieve.udfs.scoring.scorer import Scorer, worker_scorer

AHEAD = 2  # batches that each stage may be ahead of the next


def score_splits(plan: ScorePlan, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For Parquet and JSONL: the input's rows are `udfs.reading.split.TASK_SCHEMA`."""
    parts = (part for split in sent_splits(batches) for part in read_split(split, plan.schema, plan.storage))
    yield from _scored(plan, (part if isinstance(part, Faults) else part.batch for part in parts))


def score_rows(plan: ScorePlan, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For tables that Spark reads, one whole file a partition: the input has the source's columns, file and version.

    Rows are numbered as they come, which is their order in the file.
    """
    yield from _scored(plan, numbered_rows(batches))


def _scored(plan: ScorePlan, parts: Iterator[pa.RecordBatch | Faults]) -> Iterator[pa.RecordBatch]:
    """The stage from rows that were read to rows that leave; what leaves is counted for the heartbeat."""
    scorer, meter = worker_scorer(plan.scorer), Meter()
    with heartbeat(plan.progress, plan.task, scorer.device, meter):
        for batch in _computed(plan, scorer, meter, parts):
            faults = batch.num_rows - batch.column("reason").null_count
            text_bytes = pc.call_function("sum", [pc.call_function("binary_length", [batch.column(plan.text)])]).as_py()
            meter.given(documents=batch.num_rows - faults, quarantined=faults, text_bytes=text_bytes or 0)
            yield batch


def _computed(
    plan: ScorePlan, scorer: Scorer, meter: Meter, parts: Iterator[pa.RecordBatch | Faults]
) -> Iterator[pa.RecordBatch]:
    """Reading, tokenizing and computing each run ahead of what follows it, in threads of their own."""
    ready = ahead(map(partial(_ready, plan, scorer), ahead(parts, AHEAD)), AHEAD)
    for request, scored in ahead(scorer.scored(ready, meter), AHEAD):
        part = request.batch
        if not isinstance(part, Faults):
            yield from scored_rows(plan, part, request.full_D, scored)
        elif not (plan.sampling and plan.sampling.only):
            yield fault_rows(plan, part)


def _ready(plan: ScorePlan, scorer: Scorer, part: pa.RecordBatch | Faults) -> Request[Ready | Faults]:
    if isinstance(part, Faults):
        return Request(batch=part)
    reason_D = text_faults(part.column(plan.text))
    good = part  # not filtered where nothing ails: that would copy every text
    if any(reason_D):
        good = part.filter(pa.array([reason is None for reason in reason_D], pa.bool_()))
    full_D = plan.sampling.chosen(document_ids(good, plan.id).to_pylist()) if plan.sampling else None
    if full_D is not None and plan.sampling and plan.sampling.only:
        part = good = good.filter(pa.array(full_D))
        reason_D, full_D = [None] * good.num_rows, full_D[full_D]
    ready = Ready(batch=part, reason_D=reason_D, good=good)
    tokens = scorer.tokenized(good.column(plan.text)) if good.num_rows else ()
    return Request(batch=ready, tokens=tokens, full_D=full_D)
