"""Times back ends on a sample: one task alone on this machine, through the real scoring stage.

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

from jobs.scoring.sample import without_row
from udfs.scoring.backends import BackendName
from udfs.scoring.flips import decision_flips
from udfs.scoring.heartbeat import read_heartbeat
from udfs.scoring.meter import Reading
from udfs.scoring.score_plan import ScorePlan
from udfs.scoring.score_rows import score_rows
from udfs.scoring.scorer import cuda_name, worker_scorer

SECONDS = 4.0
FIRST_BYTES = 4_096  # of text in the first pass, which is the warm-up
GROWTH = 16
ON_CPU: tuple[BackendName, ...] = ("torch", "onnx", "onnx_int8")


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A back end at work on a sample.

    Attributes:
        backend: as in `score.backend`. name: what runs, such as `torch float32`. device: the hardware's name.
        tokens_per_s: classifier tokens a second, tokenizing and encoding of the rows included.
        padding: as `udfs.scoring.meter.Reading`. rows: what the stage gave out for the first documents of the sample.
    """

    backend: BackendName
    name: str
    device: str
    tokens_per_s: float
    padding: float
    rows: pa.RecordBatch


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Another back end beside the one that the run would use: how fast, and how many of its decisions differ.

    `skipped` says why it was not timed; the other figures are None then.
    """

    backend: BackendName
    name: str | None = None
    tokens_per_s: float | None = None
    flips: int | None = None
    decisions: int | None = None
    skipped: str | None = None


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
        backend="torch" if plan.scorer.backend == "auto" else plan.scorer.backend,
        name=", ".join(dict.fromkeys(shared.backend.name for shared in scorer.passes)),
        device=cpu_name() if scorer.device == "cpu" else cuda_name() or scorer.device,
        tokens_per_s=reading.tokens / took,
        padding=reading.padding,
        rows=scored,
    )


def compared(
    plan: ScorePlan, rows: pa.RecordBatch, text: str, best: Timed, thresholds: dict[str, float], deadline: float
) -> list[Compared]:
    """The other back ends of a CPU. `thresholds`: by policy. `deadline` (time.monotonic): none is begun after it."""
    others: list[BackendName] = [name for name in ON_CPU if name != best.backend]
    if worker_scorer(plan.scorer).device != "cpu":
        return []
    found = []
    for backend in others:
        if time.monotonic() > deadline:
            found.append(Compared(backend=backend, skipped="no time left in this dry run"))
            continue
        try:
            other = timed(replace(plan, scorer=replace(plan.scorer, backend=backend)), rows, text, SECONDS / 2)
        except (ImportError, ValueError) as error:
            found.append(Compared(backend=backend, skipped=str(error)))
            continue
        counts = [decision_flips(best.rows, other.rows, policy, level) for policy, level in thresholds.items()]
        found.append(
            Compared(
                backend=backend,
                name=other.name,
                tokens_per_s=other.tokens_per_s,
                flips=sum(flips for flips, _ in counts),
                decisions=sum(decisions for _, decisions in counts),
            )
        )
    return found


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
