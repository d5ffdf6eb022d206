"""Spans that people marked in a text, as labels: in characters or bytes, nested, overlapping, of several types.

A mark that cannot be meant (outside the text, empty, through the middle of a character) casts doubt on all marks of its
document: the document is unknown, with the mark named.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tokensieve.udfs.labels.labels import DocumentLabels, LabelError, encode_labels, unknown
from tokensieve.udfs.spans.intervals import Spans, bridge
from tokensieve.udfs.tokenizing.texts import byte_offsets

Unit = Literal["characters", "bytes"]
MARK_TYPE = pa.struct([pa.field("start", pa.int64()), pa.field("end", pa.int64()), pa.field("type", pa.string())])


def marked_spans(text: str, marks: Iterable[Mapping[str, Any]], prefix: str, unit: Unit) -> np.ndarray:
    """The union of the marks whose type begins with `prefix`: int64 [N, 2] UTF-8 bytes, sorted and disjoint.

    Args: marks have `start`, `end` (exclusive) in `unit`, and `type`, which may be None where the prefix is empty.
    Raises LabelError for a mark, of whatever type, that is empty, leaves the text or cuts a character.
    """
    marks = sorted(marks, key=lambda mark: mark["start"])
    offsets_C1 = byte_offsets(text)
    edges_N2 = np.array([(mark["start"], mark["end"]) for mark in marks], dtype=np.int64).reshape(-1, 2)
    size = len(text) if unit == "characters" else int(offsets_C1[-1])
    bad_N = (edges_N2[:, 0] < 0) | (edges_N2[:, 1] > size) | (edges_N2[:, 0] >= edges_N2[:, 1])
    if unit == "bytes":
        bad_N |= ~np.isin(edges_N2, offsets_C1).all(axis=1)
    if bad_N.any():
        raise LabelError(
            f"span {edges_N2[np.argmax(bad_N)].tolist()} is empty, cuts a character or lies outside the text of {size} "
            f"{unit}, which begins {text[:40]!r}; are the offsets in {unit}?"
        )
    wanted_N = np.array([not prefix or (mark["type"] or "").startswith(prefix) for mark in marks], dtype=bool)
    spans_N2 = edges_N2[wanted_N] if unit == "bytes" else offsets_C1[edges_N2[wanted_N]]
    # A nested mark ends before the one around it; for the union it may as well end with it.
    union = Spans(start_N=spans_N2[:, 0], end_N=np.maximum.accumulate(spans_N2[:, 1]))
    joined = bridge(union, 0, np.array([0, offsets_C1[-1] + 1]))
    return np.stack([joined.start_N, joined.end_N], axis=1)


@dataclass(frozen=True, kw_only=True)
class MarkLabeller:
    """Labels documents by the marks that were joined to them: which types count, in which unit, from which file."""

    prefix: str
    unit: Unit
    file: str

    def label(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches of DOCUMENT_SCHEMA with `marks` (null: none were made) and `marked_hash` (null: unchecked)."""
        for batch in batches:
            labels = [self._label_one(row) for row in batch.to_pylist()]
            yield encode_labels(batch.column("doc_id"), batch.column("text_hash"), labels)

    def _label_one(self, row: Mapping[str, Any]) -> DocumentLabels:
        text, marks, marked_hash = row["text"], row["marks"], row["marked_hash"]
        if row["note"] is not None:
            return DocumentLabels(note=row["note"])
        if marks is None:
            return unknown(text, f"unmarked: the document has no spans in {self.file}")
        if marked_hash is not None and marked_hash != row["text_hash"]:
            return unknown(text, f"other_text: {self.file} marks a text with the hash {marked_hash}")
        try:
            return DocumentLabels(spans_N2=marked_spans(text, marks, self.prefix, self.unit))
        except LabelError as error:
            return unknown(text, f"bad_span: {self.file}: {error}")
