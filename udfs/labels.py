"""A label set: for every document of a source which bytes a policy forbids, which are unknown, and by which text.

Labels are spans of UTF-8 bytes and the hash of the text that they are about, so they belong to no tokenizer and go onto
any of them by `token_targets`. Bytes in no span are labelled "retain" (value 0); what nobody could judge is `unknown`,
a third state that is never trained on nor measured.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from udfs.text_rows import text_hash
from udfs.tokenizer import Tokenized

SPAN_TYPE = pa.struct(
    [pa.field("start", pa.int32()), pa.field("end", pa.int32()), pa.field("value", pa.float32())],
)
UNKNOWN_TYPE = pa.struct([pa.field("start", pa.int32()), pa.field("end", pa.int32())])
# What a labeller reads, and what it writes: one row per document of the source.
DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string()),
        pa.field("text", pa.string()),
        pa.field("text_hash", pa.string()),
        pa.field("note", pa.string()),
    ]
)
LABEL_SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string()),
        pa.field("text_hash", pa.string()),
        pa.field("spans", pa.list_(SPAN_TYPE)),
        pa.field("unknown", pa.list_(UNKNOWN_TYPE)),
        pa.field("document", pa.float32()),
        pa.field("note", pa.string()),
    ]
)


class LabelError(Exception):
    """Labels that do not fit a text, a policy or the format; the message names set, document and what to do."""


def _no_spans() -> np.ndarray:
    return np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class DocumentLabels:
    """The labels of one document.

    Attributes:
        spans_N2: int64 [N, 2], byte offsets (start, end exclusive), sorted and disjoint. value_N: float32 [N] in 0..1,
            1 for a hard "forget"; bytes in no span have the value 0.
        unknown_M2: int64 [M, 2], bytes that were not judged, sorted and disjoint; a span inside them still counts.
        document: the label of the document as a whole in [0, 1], None where the labeller gives none.
        note: why the document, or a part of it, is unknown.
    """

    spans_N2: np.ndarray = field(default_factory=_no_spans)
    value_N: np.ndarray | None = None
    unknown_M2: np.ndarray = field(default_factory=_no_spans)
    document: float | None = None
    note: str | None = None

    @property
    def values_N(self) -> np.ndarray:
        """float32 [N]: `value_N`, or ones."""
        return np.ones(len(self.spans_N2), dtype=np.float32) if self.value_N is None else self.value_N


def unknown(text: str, note: str) -> DocumentLabels:
    """The labels of a document that nobody could judge."""
    return DocumentLabels(unknown_M2=np.array([[0, len(text.encode())]], dtype=np.int64), note=note)


def label_rows(
    label: Callable[[list[str]], Sequence[DocumentLabels]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Labels batches of DOCUMENT_SCHEMA inside an executor; a row that came with a note stays unknown."""
    for batch in batches:
        notes, texts = batch.column("note").to_pylist(), batch.column("text").to_pylist()
        good = [at for at, note in enumerate(notes) if note is None]
        labels = [DocumentLabels(note=note) for note in notes]
        for at, made in zip(good, label([texts[at] for at in good]), strict=True):
            labels[at] = made
        yield encode_labels(batch.column("doc_id"), batch.column("text_hash"), labels)


def encode_labels(doc_ids: pa.Array, text_hashes: pa.Array, labels: Sequence[DocumentLabels]) -> pa.RecordBatch:
    """Labels of D documents as a batch of LABEL_SCHEMA. Raises LabelError where spans are not sorted and disjoint."""
    for doc_id, one in zip(doc_ids.to_pylist(), labels, strict=True):
        _check_order(doc_id, one)
    spans_N2 = np.concatenate([_no_spans(), *(one.spans_N2 for one in labels)])
    values_N = np.concatenate([np.zeros(0, np.float32), *(one.values_N for one in labels)])
    unknown_M2 = np.concatenate([_no_spans(), *(one.unknown_M2 for one in labels)])
    spans = pa.StructArray.from_arrays(
        [pa.array(spans_N2[:, 0], pa.int32()), pa.array(spans_N2[:, 1], pa.int32()), pa.array(values_N, pa.float32())],
        fields=list(SPAN_TYPE),
    )
    holes = pa.StructArray.from_arrays(
        [pa.array(unknown_M2[:, 0], pa.int32()), pa.array(unknown_M2[:, 1], pa.int32())], fields=list(UNKNOWN_TYPE)
    )
    return pa.RecordBatch.from_arrays(
        [
            doc_ids,
            text_hashes,
            pa.ListArray.from_arrays(_offsets([len(one.spans_N2) for one in labels]), spans),
            pa.ListArray.from_arrays(_offsets([len(one.unknown_M2) for one in labels]), holes),
            pa.array([one.document for one in labels], pa.float32()),
            pa.array([one.note for one in labels], pa.string()),
        ],
        schema=LABEL_SCHEMA,
    )


def decode_labels(rows: pa.Table | pa.RecordBatch) -> dict[str, tuple[str | None, DocumentLabels]]:
    """Document id to (text hash, labels) of rows of LABEL_SCHEMA."""
    result = {}
    for row in rows.to_pylist():
        spans, holes = row["spans"] or [], row["unknown"] or []
        labels = DocumentLabels(
            spans_N2=np.array([(s["start"], s["end"]) for s in spans], dtype=np.int64).reshape(-1, 2),
            value_N=np.array([s["value"] for s in spans], dtype=np.float32),
            unknown_M2=np.array([(s["start"], s["end"]) for s in holes], dtype=np.int64).reshape(-1, 2),
            document=row["document"],
            note=row["note"],
        )
        result[row["doc_id"]] = (row["text_hash"], labels)
    return result


def check_text(name: str, doc_id: str, text: str, stored_hash: str | None, labels: DocumentLabels) -> None:
    """Raises LabelError unless the labels, of the label set `name`, are about this very text."""
    if stored_hash != text_hash(text):
        raise LabelError(
            f"label set {name}, document {doc_id}: its labels are about another text (text_hash {stored_hash}, the "
            f"text has {text_hash(text)}); label the source again, or train on the source that was labelled"
        )
    size = len(text.encode())
    for part in (labels.spans_N2, labels.unknown_M2):
        if len(part) and (part.min() < 0 or part.max() > size):
            raise LabelError(
                f"label set {name}, document {doc_id}: span {part[np.argmax(part[:, 1])].tolist()} lies outside the "
                f"text of {size} UTF-8 bytes; offsets must be bytes, not characters"
            )


def token_targets(labels: Sequence[DocumentLabels], tokens: Tokenized, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets of a batch's tokens by any overlap (paper 1, A.2): float32 [T] values, bool [T] known.

    The batch's document d has the labels `labels[first + d]`. A token that touches a span has the largest value among
    the spans it touches; one that touches none, but an unknown stretch, is not known. A token of 0 bytes has the value
    of the byte after it, of the one before at the end of a document.
    """
    value_T, known_T = np.zeros(len(tokens.ids_T), dtype=np.float32), np.ones(len(tokens.ids_T), dtype=bool)
    for d in range(len(tokens.bounds_D1) - 1):
        part = slice(int(tokens.bounds_D1[d]), int(tokens.bounds_D1[d + 1]))
        one = labels[first + d]
        if not len(one.spans_N2) and not len(one.unknown_M2):
            continue
        start_T, end_T = _extent(tokens.bytes_T[part])
        value_T[part] = _largest(one.spans_N2, one.values_N, start_T, end_T)
        touches_T = _touched(one.spans_N2, start_T, end_T)
        known_T[part] = touches_T | ~_touched(one.unknown_M2, start_T, end_T)
    return value_T, known_T


def _extent(bytes_T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First byte and end of each token; a token without bytes gets the byte after it, or the last."""
    end_T = np.cumsum(bytes_T, dtype=np.int64)
    start_T = end_T - bytes_T
    total = int(end_T[-1]) if len(end_T) else 0
    empty_T = bytes_T == 0
    start_T = np.where(empty_T, np.minimum(start_T, max(total - 1, 0)), start_T)
    return start_T, np.where(empty_T, np.minimum(start_T + 1, total), end_T)


def _touched(spans_N2: np.ndarray, start_T: np.ndarray, end_T: np.ndarray) -> np.ndarray:
    """bool [T]: the token overlaps a span by at least one byte."""
    first_T = np.searchsorted(spans_N2[:, 1], start_T, side="right")
    after_T = np.searchsorted(spans_N2[:, 0], end_T, side="left")
    return after_T > first_T


def _largest(spans_N2: np.ndarray, values_N: np.ndarray, start_T: np.ndarray, end_T: np.ndarray) -> np.ndarray:
    """Largest value of the spans each token touches, 0 for none: float32 [T]."""
    first_T = np.searchsorted(spans_N2[:, 1], start_T, side="right")
    after_T = np.searchsorted(spans_N2[:, 0], end_T, side="left")
    out_T = np.zeros(len(start_T), dtype=np.float32)
    touched = np.flatnonzero(after_T > first_T)
    if len(touched):
        pairs = np.stack([first_T[touched], after_T[touched]], axis=1).ravel()
        # reduceat takes the even places; the odd ones only end the stretches before them.
        out_T[touched] = np.maximum.reduceat(np.append(values_N, 0), pairs)[::2]
    return out_T


def _check_order(doc_id: str, labels: DocumentLabels) -> None:
    for part in (labels.spans_N2, labels.unknown_M2):
        if len(part) and ((part[:, 0] >= part[:, 1]).any() or (part[1:, 0] < part[:-1, 1]).any() or part[0, 0] < 0):
            raise LabelError(f"document {doc_id}: label spans must be sorted, disjoint and not empty: {part.tolist()}")


def _offsets(counts: list[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
