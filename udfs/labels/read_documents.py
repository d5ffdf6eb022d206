"""Reads a source inside an executor as plain documents (DOCUMENT_SCHEMA): id, text, hash, or why there is no text.

Labellers need no more than that. What cannot be read keeps its place as a row with a note, so that a label set counts
as many rows as its source has documents.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig
from tokensieve.udfs.labels.labels import DOCUMENT_SCHEMA
from tokensieve.udfs.reading.parts import PROVENANCE, Faults, numbered_rows
from tokensieve.udfs.reading.read_shard import read_split
from tokensieve.udfs.reading.split import sent_splits
from tokensieve.udfs.reading.text_rows import document_ids, made_id, text_faults, text_hash


@dataclass(frozen=True, kw_only=True)
class ReadPlan:
    """What every task does with its rows: the source's columns, which of them is text and which id.

    `carried` are columns of the source (or of PROVENANCE) that come along: (name in the output, name in the source).
    """

    schema: pa.Schema
    text: str
    id: str | None
    carried: tuple[tuple[str, str], ...] = ()
    storage: StorageConfig = PROVIDERS_OWN

    def output_schema(self) -> pa.Schema:
        """DOCUMENT_SCHEMA, then the carried columns. Raises KeyError naming a column that the source lacks."""
        known = {field.name: field for field in (*self.schema, *PROVENANCE)}
        return pa.schema([*DOCUMENT_SCHEMA, *(pa.field(name, known[column].type) for name, column in self.carried)])


def read_splits(plan: ReadPlan, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For Parquet and JSONL: the input's rows are `udfs.reading.split.TASK_SCHEMA`."""
    for split in sent_splits(batches):
        for part in read_split(split, plan.schema, plan.storage):
            yield _faulty(plan, part) if isinstance(part, Faults) else _documents(plan, part.batch)


def read_table_rows(plan: ReadPlan, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """For tables that Spark reads, one whole file a partition: rows are numbered as they come."""
    for batch in numbered_rows(batches):
        yield _documents(plan, batch)


def _documents(plan: ReadPlan, rows: pa.RecordBatch) -> pa.RecordBatch:
    notes = [fault and f"{fault[0]}: {fault[1]}" for fault in text_faults(rows.column(plan.text))]
    good = pa.array([note is None for note in notes], pa.bool_())
    kept: list[str] = rows.column(plan.text).filter(good).to_pylist()
    texts = iter(kept)
    column = [next(texts) if note is None else None for note in notes]
    return pa.RecordBatch.from_arrays(
        [
            document_ids(rows, plan.id),
            pa.array(column, pa.string()),
            pa.array([None if text is None else text_hash(text) for text in column], pa.string()),
            pa.array(notes, pa.string()),
            *(rows.column(column) for _, column in plan.carried),
        ],
        schema=plan.output_schema(),
    )


def _faulty(plan: ReadPlan, faults: Faults) -> pa.RecordBatch:
    """Rows without text; of the carried columns only the file's name is known."""
    count = len(faults.rows)
    note = f"{faults.reason}: {faults.split.name}: {faults.detail}"[:1000]
    known = {"doc_id": [made_id(faults.split.name, row) for row in faults.rows], "note": [note] * count}
    known |= {name: [faults.split.name] * count for name, column in plan.carried if column == PROVENANCE[0].name}
    schema = plan.output_schema()
    return pa.RecordBatch.from_pydict({name: known.get(name, [None] * count) for name in schema.names}, schema=schema)
