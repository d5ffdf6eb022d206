"""The scoring stage inside an executor: splits or rows in, scored rows and faults out, as Arrow record batches.

Scored rows and quarantined ones leave in one stream of one schema, told apart by `reason`: one pass of the model
feeds both tables, and a retried task repeats both.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from udfs.read_shard import PROVENANCE, Faults, Split, read_split
from udfs.scores import binary_array, encode_lengths
from udfs.scoring.ahead import ahead
from udfs.scoring.meter import Meter
from udfs.scoring.scorer import Scored, Scorer, ScorerSettings, worker_scorer
from udfs.text_rows import document_ids, text_faults, text_hash
from udfs.tokenizer import Tokenized

EMPTY = 1  # flag: the document has no token
WINDOWED = 2  # flag: the document was longer than one window of the classifier
AHEAD = 2  # batches that each stage may be ahead of the next

Tokens = tuple[Tokenized, ...]  # of one batch's texts, for every pass of the scorer

POLICY_TYPE = pa.struct(
    [
        pa.field("bundle_id", pa.string()),
        pa.field("token_bytes", pa.binary()),
        pa.field("token_scores", pa.binary()),
        pa.field("doc_score", pa.float32()),
        pa.field("flags", pa.int32()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ScorePlan:
    """Everything that a task needs, sent to it once: what to read, which columns, which classifiers."""

    splits: tuple[Split, ...]
    schema: pa.Schema  # the source's columns
    text: str
    id: str | None
    scorer: ScorerSettings

    def output_schema(self) -> pa.Schema:
        """doc_id, the source's columns, provenance, text_hash, one struct per policy, reason and detail."""
        policies = [pa.field(policy, POLICY_TYPE) for policy, _, _ in self.scorer.bundles]
        return pa.schema(
            [
                pa.field("doc_id", pa.string()),
                *self.schema,
                *PROVENANCE,
                pa.field("text_hash", pa.string()),
                *policies,
                pa.field("reason", pa.string()),
                pa.field("detail", pa.string()),
            ]
        )


def score_splits(plan: ScorePlan, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For Parquet and JSONL: the input's column `id` counts into `plan.splits`."""
    ids = (at for batch in batches for at in batch.column("id").to_pylist())
    parts = (part for at in ids for part in read_split(plan.splits[at], plan.schema))
    yield from _scored(plan, (part if isinstance(part, Faults) else part.batch for part in parts))


def score_rows(plan: ScorePlan, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For tables that Spark reads, one whole file a partition: the input has the source's columns, file and version.

    Rows are numbered as they come, which is their order in the file.
    """
    yield from _scored(plan, _numbered(batches))


def _numbered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    first = 0
    for batch in batches:
        rows = pa.array(range(first, first + batch.num_rows), pa.int64())
        first += batch.num_rows
        yield batch.append_column(PROVENANCE[2], rows)


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A batch with its texts tokenized: `good` are the rows with a text, `reason_D` says what ails the others."""

    batch: pa.RecordBatch
    reason_D: list[tuple[str, str] | None]
    good: pa.RecordBatch


def _scored(plan: ScorePlan, parts: Iterator[pa.RecordBatch | Faults]) -> Iterator[pa.RecordBatch]:
    """Reading, tokenizing and computing each run ahead of what follows it, in threads of their own."""
    scorer, meter = worker_scorer(plan.scorer), Meter()
    ready = ahead(map(partial(_ready, plan, scorer), ahead(parts, AHEAD)), AHEAD)
    for part, scored in ahead(scorer.scored(ready, meter), AHEAD):
        if isinstance(part, Faults):
            yield _fault_rows(plan, part)
        else:
            yield from _scored_rows(plan, part, scored)


def _ready(plan: ScorePlan, scorer: Scorer, part: pa.RecordBatch | Faults) -> tuple[_Ready | Faults, Tokens]:
    if isinstance(part, Faults):
        return part, ()
    reason_D = text_faults(part.column(plan.text))
    good = part.filter(pa.array([reason is None for reason in reason_D], pa.bool_()))
    tokens = scorer.tokenized(good.column(plan.text)) if good.num_rows else ()
    return _Ready(batch=part, reason_D=reason_D, good=good), tokens


def _scored_rows(plan: ScorePlan, ready: _Ready, scored: dict[str, Scored]) -> Iterator[pa.RecordBatch]:
    """One batch with the scored rows, one with those of its rows that cannot be scored."""
    good = ready.good
    reason_G = _score_faults(scored, good.num_rows)
    yield _output(plan, good, scored).filter(pa.array([not reason for reason in reason_G], pa.bool_()))
    faults = [reason for reason in ready.reason_D if reason] + [reason for reason in reason_G if reason]
    if faults:
        bad = ready.batch.filter(pa.array([reason is not None for reason in ready.reason_D]))
        late = good.filter(pa.array([reason is not None for reason in reason_G], pa.bool_()))
        yield _quarantined(plan, pa.Table.from_batches([bad, late]).combine_chunks(), faults)


def _score_faults(scored: dict[str, Scored], count: int) -> list[tuple[str, str] | None]:
    faults: list[tuple[str, str] | None] = [None] * count
    for policy, result in scored.items():
        for at in np.flatnonzero(result.broken_D):
            faults[at] = ("non_finite_score", f"policy {policy}, bundle {result.bundle_id}: NaN or infinity")
        for at, why in result.tokens.failed.items():
            faults[at] = ("misaligned", f"policy {policy}: {why}")
    return faults


def _output(plan: ScorePlan, rows: pa.RecordBatch, scored: dict[str, Scored]) -> pa.RecordBatch:
    schema = plan.output_schema()
    columns = {name: rows.column(name) for name in rows.schema.names}
    columns["doc_id"] = document_ids(rows, plan.id)
    columns["text_hash"] = pa.array([text_hash(text) for text in rows.column(plan.text).to_pylist()], pa.string())
    columns |= {policy: _policy_column(result) for policy, result in scored.items()}
    arrays = [columns.get(field.name, pa.nulls(rows.num_rows, field.type)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _policy_column(result: Scored) -> pa.StructArray:
    lengths_D = np.diff(result.tokens.bounds_D1)
    flags_D = np.where(lengths_D == 0, EMPTY, 0) | np.where(result.windowed_D, WINDOWED, 0)
    doc_score = pa.array(result.document_score_D, pa.float32(), from_pandas=True)  # NaN: no token, so no score
    return pa.StructArray.from_arrays(
        [
            pa.repeat(pa.scalar(result.bundle_id), len(lengths_D)),
            encode_lengths(result.tokens.bytes_T, result.tokens.bounds_D1),
            binary_array(result.scores_T, result.tokens.bounds_D1),
            doc_score,
            pa.array(flags_D, pa.int32()),
        ],
        fields=list(POLICY_TYPE),
    )


def _quarantined(plan: ScorePlan, rows: pa.Table, faults: list[tuple[str, str]]) -> pa.RecordBatch:
    """Rows for the quarantine: identity and provenance, never the text."""
    batch = rows.to_batches()[0]
    columns = {name: batch.column(name) for name in PROVENANCE_NAMES}
    columns["doc_id"] = document_ids(batch, plan.id)
    return _quarantine_batch(plan, columns, faults)


def _fault_rows(plan: ScorePlan, faults: Faults) -> pa.RecordBatch:
    count = len(faults.rows)
    columns = {
        "source_file": pa.repeat(pa.scalar(faults.split.name), count),
        "source_version": pa.repeat(pa.scalar(faults.split.version), count),
        "source_row": pa.array(faults.rows, pa.int64()),
    }
    return _quarantine_batch(plan, columns, [(faults.reason, faults.detail)] * count)


PROVENANCE_NAMES = tuple(field.name for field in PROVENANCE)


def _quarantine_batch(plan: ScorePlan, columns: dict, faults: list[tuple[str, str]]) -> pa.RecordBatch:
    columns["reason"] = pa.array([reason for reason, _ in faults], pa.string())
    columns["detail"] = pa.array([detail[:1000] for _, detail in faults], pa.string())
    schema = plan.output_schema()
    arrays = [columns.get(field.name, pa.nulls(len(faults), field.type)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
