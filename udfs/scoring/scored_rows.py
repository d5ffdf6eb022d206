"""The rows that leave the scoring stage: scored ones with a struct per policy, and those that go to the quarantine."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tokensieve.udfs.reading.fault_reasons import MISALIGNED, NON_FINITE_SCORE
from tokensieve.udfs.reading.parts import PROVENANCE, Faults
from tokensieve.udfs.reading.text_rows import document_ids, text_hashes
from tokensieve.udfs.scores.stored_scores import binary_array, encode_lengths
from tokensieve.udfs.scoring.batch_group import Scored
from tokensieve.udfs.scoring.score_plan import EMPTY, POLICY_TYPE, SAMPLED, SKIPPED, WINDOWED, ScorePlan

PROVENANCE_NAMES = tuple(field.name for field in PROVENANCE)


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A batch with its texts tokenized: `good` are the rows with a text, `reason_D` says what ails the others."""

    batch: pa.RecordBatch
    reason_D: list[tuple[str, str] | None]
    good: pa.RecordBatch


def scored_rows(
    plan: ScorePlan, ready: Ready, full_D: np.ndarray | None, scored: dict[str, Scored]
) -> Iterator[pa.RecordBatch]:
    """One batch with the scored rows, one with those of its rows that cannot be scored."""
    good = ready.good
    reason_G = _score_faults(scored, good.num_rows)
    rows = _output(plan, good, full_D, scored)
    faults = [reason for reason in ready.reason_D if reason] + [reason for reason in reason_G if reason]
    if not faults:  # a filter would copy every text
        yield rows
    else:
        yield rows.filter(pa.array([not reason for reason in reason_G], pa.bool_()))
        bad = ready.batch.filter(pa.array([reason is not None for reason in ready.reason_D]))
        late = good.filter(pa.array([reason is not None for reason in reason_G], pa.bool_()))
        yield _quarantined(plan, pa.Table.from_batches([bad, late]).combine_chunks(), faults)


def _score_faults(scored: dict[str, Scored], count: int) -> list[tuple[str, str] | None]:
    faults: list[tuple[str, str] | None] = [None] * count
    for policy, result in scored.items():
        for at in np.flatnonzero(result.broken_D):
            faults[at] = (NON_FINITE_SCORE, f"policy {policy}, bundle {result.bundle_id}: NaN or infinity")
        for at, why in result.tokens.failed.items():
            faults[at] = (MISALIGNED, f"policy {policy}: {why}")
    return faults


def _output(
    plan: ScorePlan, rows: pa.RecordBatch, full_D: np.ndarray | None, scored: dict[str, Scored]
) -> pa.RecordBatch:
    schema = plan.output_schema()
    columns = {name: rows.column(name) for name in rows.schema.names}
    columns["doc_id"] = document_ids(rows, plan.id)
    columns["text_hash"] = text_hashes(rows.column(plan.text))
    columns |= {policy: _policy_column(result, full_D) for policy, result in scored.items()}
    arrays = [columns.get(field.name, pa.nulls(rows.num_rows, field.type)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _policy_column(result: Scored, full_D: np.ndarray | None) -> pa.StructArray:
    lengths_D = np.diff(result.tokens.bounds_D1)
    flags_D = np.where(lengths_D == 0, EMPTY, 0) | np.where(result.windowed_D, WINDOWED, 0)
    flags_D |= np.where(result.skipped_D, SKIPPED, 0) | (0 if full_D is None else np.where(full_D, SAMPLED, 0))
    doc_score = pa.array(result.document_score_D, pa.float32(), from_pandas=True)  # NaN: no token, so no score
    return pa.StructArray.from_arrays(
        [
            pa.repeat(pa.scalar(result.bundle_id), len(lengths_D)),
            encode_lengths(result.tokens.bytes_T, result.tokens.bounds_D1),
            binary_array(result.scores_T, result.tokens.bounds_D1),
            doc_score,
            pa.array(flags_D, pa.int32()),
            pa.array(result.probe_D, pa.float32(), from_pandas=True),
        ],
        fields=list(POLICY_TYPE),
    )


def _quarantined(plan: ScorePlan, rows: pa.Table, faults: list[tuple[str, str]]) -> pa.RecordBatch:
    """Rows for the quarantine: identity and provenance, never the text."""
    batch = rows.to_batches()[0]
    columns = {name: batch.column(name) for name in PROVENANCE_NAMES}
    columns["doc_id"] = document_ids(batch, plan.id)
    return _quarantine_batch(plan, columns, faults)


def fault_rows(plan: ScorePlan, faults: Faults) -> pa.RecordBatch:
    count = len(faults.rows)
    columns = {
        "source_file": pa.repeat(pa.scalar(faults.split.name), count),
        "source_version": pa.repeat(pa.scalar(faults.split.version), count),
        "source_row": pa.array(faults.rows, pa.int64()),
    }
    return _quarantine_batch(plan, columns, [(faults.reason, faults.detail)] * count)


def _quarantine_batch(plan: ScorePlan, columns: dict, faults: list[tuple[str, str]]) -> pa.RecordBatch:
    columns["reason"] = pa.array([reason for reason, _ in faults], pa.string())
    columns["detail"] = pa.array([detail[:1000] for _, detail in faults], pa.string())
    schema = plan.output_schema()
    arrays = [columns.get(field.name, pa.nulls(len(faults), field.type)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
