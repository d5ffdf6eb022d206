"""Verb `label spans`: spans that people marked, from a Parquet or JSONL file, become a label set.

The file is read by the driver, for its size is what people can mark. Its documents are taken as marked throughout: text
outside their spans is labelled "retain". Documents that are not in it stay unknown.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from tokensieve.jobs.config.labelling import SpansConfig
from tokensieve.jobs.errors import InputError
from tokensieve.jobs.labelling.label_set import in_arrow, label_frame, read_labels, refuse_misfits
from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.udfs.labels.marked_spans import MARK_TYPE, MarkLabeller
from tokensieve.udfs.reading.json_lines import numbered_lines
from tokensieve.udfs.reading.text_rows import text_hash

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tokensieve.jobs.config.labelling import LabelConfig


MARKS_SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string()),
        pa.field("marked_hash", pa.string()),
        pa.field("marks", pa.list_(MARK_TYPE)),
    ]
)


class _Mark(BaseModel):
    start: int
    end: int
    type: str | None = None


class _MarkedDocument(BaseModel):
    """One row of the file."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str
    spans: list[_Mark] | None
    text: str | None = None
    text_hash: str | None = None

    def row(self) -> dict[str, Any]:
        marked_hash = self.text_hash if self.text is None else text_hash(self.text)
        marks = None if self.spans is None else [mark.model_dump() for mark in self.spans]
        return {"doc_id": self.id, "marked_hash": marked_hash, "marks": marks}


def run(config: "LabelConfig", spark: "SparkSession") -> dict[str, Any]:
    """Writes the label set and returns the counts. Raises ConfigError, InputError, BalanceError, QuarantineError."""
    from tokensieve.jobs.config.labelling import section

    spans = section(config, "spans", SpansConfig)
    marked = spark.createDataFrame(_read(Path(spans.file)))
    labeller = MarkLabeller(prefix=spans.prefix, unit=spans.unit, file=Path(spans.file).name)
    settings: dict[str, Any] = {"file": file_sha256(Path(spans.file)), "unit": spans.unit, "prefix": spans.prefix}

    def label(frame: "DataFrame") -> "DataFrame":
        return in_arrow(frame.join(marked, "doc_id", "left"), labeller.label)

    result = label_frame(config, spark, spans.name, label, settings)
    rows, labels = marked.count(), read_labels(config, spark, spans.name)
    misfits = {reason: result["reasons"].get(reason, 0) for reason in ("other_text", "bad_span")}
    misfits["not_in_source"] = marked.join(labels.select("doc_id"), "doc_id", "left_anti").count()
    refuse_misfits(result["table"], misfits, rows, spans.misfit_tolerance, "spans.misfit_tolerance")
    return {**result, "marked": rows, "misfits": misfits}


def _read(file: Path) -> pa.Table:
    """The file as MARKS_SCHEMA. Raises InputError: it cannot be read, a row does not fit, an id stands there twice."""
    rows, first = [], {}
    for at, raw in _rows(file):
        try:
            row = _MarkedDocument.model_validate(raw).row()
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise InputError(f"spans.file: {file} row {at}: {where}: {fault['msg']}; see the keys of `spans`") from None
        if row["doc_id"] in first:
            raise InputError(f"spans.file: {file} rows {first[row['doc_id']]} and {at} are both of {row['doc_id']}")
        first[row["doc_id"]] = at
        rows.append(row)
    if not rows:
        raise InputError(f"spans.file: {file} has no rows")
    return pa.Table.from_pylist(rows, schema=MARKS_SCHEMA)


def _rows(file: Path) -> Iterator[tuple[int, Any]]:
    """Row numbers from 0 and rows, as they are."""
    try:
        if file.suffix == ".parquet":
            yield from enumerate(row for batch in pq.ParquetFile(file).iter_batches(256) for row in batch.to_pylist())
            return
        for at, line in numbered_lines(str(file)):
            yield at, json.loads(line)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"spans.file: {file} cannot be read as Parquet (by its name) or JSONL: {error}") from error
