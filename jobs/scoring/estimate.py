"""`score --dry-run`: what scoring takes, from footers and a small sample timed on this machine. Nothing is written.

Starts no Spark session, but for Delta, whose log only Spark reads. Reading the source, writing the tables and the start
of a cluster are not in the hours: scoring overlaps with them, or outlasts them by far.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokensieve.jobs.config.score import CascadeConfig, Cost, ScoreConfig, cost
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.policies.rules import load_bundles
from tokensieve.jobs.scoring.job import scorer_settings
from tokensieve.jobs.scoring.refusals import refuse_clashes, refuse_nesting
from tokensieve.jobs.scoring.timing import SECONDS, Timed, timed
from tokensieve.jobs.source.first_rows import Sample, sample, tokens_per_byte
from tokensieve.jobs.source.partitions import partitions
from tokensieve.jobs.source.without_spark import PlannedSource, planned_source
from tokensieve.jobs.spark.progress import duration, size
from tokensieve.udfs.scoring.score_plan import ScorePlan
from tokensieve.udfs.scoring.scorer import ScorerSettings

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config
    from tokensieve.udfs.bundles.bundle import Bundle

ZSTD_LEVEL = 3  # Spark's


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What scoring would take.

    Attributes:
        documents: rows of readable files. broken_files: that would be quarantined as a whole.
        text_bytes: of the documents, from footers; of JSON lines estimated.
        tokens: of the classifier, estimated; tokens_low and tokens_high: a 95 % interval from how documents differ.
        device: where the sample was timed, None where `score.device_tokens_per_s` says the speed.
        tokens_per_s: classifier tokens a second of one device. padding: share of computed rows that is padding.
        output_bytes: of the scores table, estimated, None where nothing was scored here.
        tasks: partitions of the scoring stage; None where Spark would make them.
        without_cascade: a cascade is configured, but its thresholds are chosen by the run: the estimate is higher.
    """

    documents: int
    broken_files: int
    text_bytes: int
    tokens: int
    tokens_low: int
    tokens_high: int
    sample_documents: int
    sample_bytes: int
    device: str | None
    backend: str | None
    tokens_per_s: float
    padding: float | None
    cost: Cost
    devices: int
    dollars_per_device_hour: float | None
    output_bytes: int | None
    tasks: int | None
    without_cascade: bool

    def lines(self) -> list[str]:
        """For people."""
        price = self.dollars_per_device_hour
        dollars = (
            "no price set (score.cost.dollars_per_device_hour)"
            if self.cost.dollars is None
            else f"${self.cost.dollars:,.2f} at ${price:,.2f} a device-hour"
        )
        where = "by score.device_tokens_per_s" if self.device is None else f"on {self.device}, {self.backend}"
        padding = "" if self.padding is None else f", padding {self.padding:.1%}"
        output = "unknown: nothing was scored here" if self.output_bytes is None else f"about {size(self.output_bytes)}"
        return [
            f"documents  {self.documents:,} with {size(self.text_bytes)} of text; {self.broken_files} broken files",
            f"sample     {self.sample_documents:,} documents, {size(self.sample_bytes)} of text",
            f"tokens     about {self.tokens:,} ({self.tokens_low:,} to {self.tokens_high:,})",
            f"speed      {self.tokens_per_s:,.0f} tokens/s a device, {where}{padding}",
            f"time       {self.cost.device_hours:,.4g} device-hours; "
            f"{duration(self.cost.wall_hours * 3_600)} on {self.devices} device{'s' * (self.devices > 1)}",
            f"cost       {dollars}",
            f"output     {output}",
            f"tasks      {'as Spark cuts the table' if self.tasks is None else f'{self.tasks:,}'}",
            *(["cascade    left out: its thresholds are chosen by the run; it would read less"] * self.without_cascade),
        ]


def run(config: "Config") -> dict[str, Any]:
    """The estimate as a dictionary, and "lines" for people. Raises ConfigError, InputError as the verb itself."""
    refuse_nesting(config.source, config.tables)
    source = planned_source(config.source, config.spark)
    refuse_clashes(source.schema, config.policies, config.source.columns.text)
    found = estimate(config, source, sample(source.splits, source.schema, source.text, config.source.storage))
    return asdict(found) | {"lines": found.lines()}


def estimate(config: "Config", source: PlannedSource, taken: Sample) -> Estimate:
    """What scoring the source would take, from its listing and a sample of it."""
    bytes_D = pc.call_function("binary_length", [taken.rows.column(source.text)]).to_numpy().astype(np.int64)
    text_bytes = source.text_bytes if source.exact_bytes else round(source.text_bytes * taken.text_share)
    bundles = load_bundles(config.policies)
    per_byte, error = tokens_per_byte(_token_counts(bundles, taken, source.text), bytes_D, taken.split_D)
    error *= math.sqrt(max(0.0, 1 - len(bytes_D) / max(source.documents, 1)))  # a sample that is all leaves no doubt
    best, speed = None, config.score.device_tokens_per_s
    if speed is None:
        settings = scorer_settings(config.policies, config.score, bundles)
        best = _timed(score_plan(settings, config.score.cascade, source), taken)
        speed = best.tokens_per_s
    return Estimate(
        documents=source.documents,
        broken_files=source.broken_files,
        text_bytes=text_bytes,
        tokens=round(text_bytes * per_byte),
        tokens_low=round(text_bytes * max(0.0, per_byte - error)),
        tokens_high=round(text_bytes * (per_byte + error)),
        sample_documents=taken.rows.num_rows,
        sample_bytes=int(bytes_D.sum()),
        device=best.device if best else None,
        backend=best.name if best else None,
        tokens_per_s=round(speed, 1),
        padding=round(best.padding, 4) if best else None,
        cost=cost(round(text_bytes * per_byte), speed, config.score.cost),
        devices=config.score.cost.devices,
        dollars_per_device_hour=config.score.cost.dollars_per_device_hour,
        output_bytes=round(text_bytes * _stored_per_byte(best.rows, source.text)) if best else None,
        tasks=_tasks(config.score, source),
        without_cascade=config.score.cascade is not None and config.score.cascade.thresholds is None,
    )


def _token_counts(bundles: "Mapping[str, Bundle]", taken: Sample, text: str) -> np.ndarray:
    """Tokens of each document by the first policy's tokenizer, as the scoring stage counts them."""
    bounds_D1 = bundles[min(bundles)].tokenizer().encode(taken.rows.column(text)).bounds_D1
    return np.diff(bounds_D1)


def _timed(plan: ScorePlan, taken: Sample) -> Timed:
    """The run's back end on the sample. Raises InputError where this machine cannot score."""
    try:
        return timed(plan, taken.rows, plan.text, SECONDS)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"nothing can be timed on this machine: {error}; or set score.device_tokens_per_s, where it is known"
        ) from error


def score_plan(settings: ScorerSettings, cascade: CascadeConfig | None, source: PlannedSource) -> ScorePlan:
    """What the run's tasks would be told; a cascade only if its thresholds are known before the run."""
    if cascade is not None and cascade.thresholds is not None:
        settings = replace(settings, cascade=cascade.probing(cascade.thresholds))
    return ScorePlan(schema=source.schema, text=source.text, id=source.id, scorer=settings)


def _stored_per_byte(rows: pa.RecordBatch, text: str) -> float:
    """Bytes that the scores table takes for a byte of text; what a file takes without rows is nothing in large ones."""
    text_bytes = pc.call_function("sum", [pc.call_function("binary_length", [rows.column(text)])]).as_py()
    return (_stored(rows) - _stored(rows.slice(0, 0))) / max(1, text_bytes or 0)


def _stored(rows: pa.RecordBatch) -> int:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([rows]), sink, compression="zstd", compression_level=ZSTD_LEVEL)
    return sink.getvalue().size


def _tasks(score: ScoreConfig, source: PlannedSource) -> int | None:
    if not source.own_tasks:
        return None
    target, slots = int(score.partition_mb * 2**20), score.cost.devices
    return len(partitions(source.splits, target_bytes=max(1, target), slots=slots))
