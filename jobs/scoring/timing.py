"""Times a back end on a sample: one task alone on this machine, through the real scoring stage.

Alone, it has caches and memory to itself; with every core at work a CPU gives somewhat less.
"""

import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokensieve.jobs.source.first_rows import without_row
from tokensieve.udfs.scoring.heartbeat import read_heartbeat
from tokensieve.udfs.scoring.meter import Reading
from tokensieve.udfs.scoring.score_plan import ScorePlan
from tokensieve.udfs.scoring.score_rows import score_rows
from tokensieve.udfs.scoring.scorer import cuda_name, worker_scorer

SECONDS = 4.0
FIRST_BYTES = 4_096  # of text in the first pass, which is the warm-up
GROWTH = 16


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A back end at work on a sample.

    Attributes:
        name: what runs, such as `torch float32`. device: the hardware's name.
        tokens_per_s: classifier tokens a second, tokenizing and encoding of the rows included.
        padding: as `udfs.scoring.meter.Reading`. rows: what the stage gave out for the first documents of the sample.
    """

    name: str
    device: str
    tokens_per_s: float
    padding: float
    rows: pa.RecordBatch


def timed(plan: ScorePlan, rows: pa.RecordBatch, text: str, seconds: float) -> Timed:
    """Scores more and more of the rows until a pass takes about so many seconds, or holds them all.

    Raises ImportError, ValueError as `Scorer`.
    """
    scorer = worker_scorer(plan.scorer)
    ends_D = np.cumsum(pc.call_function("binary_length", [rows.column(text)]).to_numpy(), dtype=np.int64)
    count, warm = max(1, int(np.searchsorted(ends_D, FIRST_BYTES, side="right"))), False
    while True:
        took, reading, scored = _pass(plan, rows.slice(0, count))
        if took >= seconds / 2 or (warm and count == rows.num_rows):
            break
        warm = True
        count = min(rows.num_rows, math.ceil(count * min(GROWTH, seconds / took)))
    return Timed(
        name=", ".join(dict.fromkeys(shared.backend.name for shared in scorer.passes)),
        device=cpu_name() if scorer.device == "cpu" else cuda_name() or scorer.device,
        tokens_per_s=reading.tokens / took,
        padding=reading.padding,
        rows=scored,
    )


def cpu_name() -> str:
    """What Linux says of this machine's processor, else what Python knows."""
    try:
        lines: Sequence[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = ()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _pass(plan: ScorePlan, rows: pa.RecordBatch) -> tuple[float, Reading, pa.RecordBatch]:
    """Seconds, the task's own counts, and the rows that could be scored."""
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        batches = list(score_rows(replace(plan, progress=folder), [without_row(rows)]))
        took = time.perf_counter() - began
        beat = read_heartbeat(Path(folder) / f"task-{plan.task}.json")
    assert beat is not None
    made = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
    return took, beat.reading, made.filter(pc.call_function("is_null", [made.column("reason")]))
