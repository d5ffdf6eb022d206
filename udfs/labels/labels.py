"""A label set: for every document of a source which bytes a policy forbids, which are unknown, and by which text.

Labels are spans of UTF-8 bytes and the hash of the text that they are about, so they belong to no tokenizer and go onto
any of them by `token_targets`. Bytes in no span are labelled "retain" (value 0); what nobody could judge is `unknown`,
a third state that is never trained on nor measured.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokensieve.udfs.reading.text_rows import text_hash
from tokensieve.udfs.spans.carry import carriers, largest, touched
from tokensieve.udfs.tokenizing.tokenizer import Tokenized

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
        note: why the document, or a part of it, is unknown, or what a person should look at; it begins with `REASON: `.
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
    whole_12 = np.array([[0, len(text.encode())]], dtype=np.int64)
    return DocumentLabels(unknown_M2=whole_12 if text else _no_spans(), note=note)


def label_rows(
    label: Callable[[list[str]], Sequence[DocumentLabels]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Labels batches of DOCUMENT_SCHEMA inside an executor; a row that came with a note stays unknown.

    Raises LabelError where the labeller's spans do not fit the text.
    """
    for batch in batches:
        doc_ids, notes = batch.column("doc_id").to_pylist(), batch.column("note").to_pylist()
        texts = batch.column("text").to_pylist()
        good = [at for at, note in enumerate(notes) if note is None]
        labels = [DocumentLabels(note=note) for note in notes]
        for at, made in zip(good, label([texts[at] for at in good]), strict=True):
            _check_inside(f"document {doc_ids[at]}", len(texts[at].encode()), made)
            labels[at] = made
        yield encode_labels(batch.column("doc_id"), batch.column("text_hash"), labels)


def encode_labels(doc_ids: pa.Array, text_hashes: pa.Array, labels: Sequence[DocumentLabels]) -> pa.RecordBatch:
    """Labels of D documents as a batch of LABEL_SCHEMA. Raises LabelError where they are not as DocumentLabels says."""
    for doc_id, one in zip(doc_ids.to_pylist(), labels, strict=True):
        _check_shape(doc_id, one)
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
    """Document id to (text hash, labels) of rows of LABEL_SCHEMA. Raises LabelError when an id stands there twice."""
    ids = rows["doc_id"].to_pylist()
    labels = decode_columns(*(rows[name] for name in LABEL_SCHEMA.names[2:]))
    result = dict(zip(ids, zip(rows["text_hash"].to_pylist(), labels)))
    if len(result) != len(ids):
        twice = next(doc_id for at, doc_id in enumerate(ids) if doc_id in ids[:at])
        raise LabelError(f"document {twice}: two rows of labels; a label set has one row a document, label again")
    return result


def decode_columns(
    spans: pa.Array | pa.ChunkedArray,
    unknown: pa.Array | pa.ChunkedArray,
    document: pa.Array | pa.ChunkedArray,
    note: pa.Array | pa.ChunkedArray,
) -> list[DocumentLabels]:
    """The labels of D rows from their columns of LABEL_SCHEMA."""
    (start_N, end_N, value_N), bounds_D1 = _flat(spans)
    (hole_start_M, hole_end_M), hole_bounds_D1 = _flat(unknown)
    spans_N2 = np.stack([start_N, end_N], axis=1).astype(np.int64)
    unknown_M2 = np.stack([hole_start_M, hole_end_M], axis=1).astype(np.int64)
    return [
        DocumentLabels(
            spans_N2=spans_N2[bounds_D1[d] : bounds_D1[d + 1]],
            value_N=value_N[bounds_D1[d] : bounds_D1[d + 1]],
            unknown_M2=unknown_M2[hole_bounds_D1[d] : hole_bounds_D1[d + 1]],
            document=document,
            note=note,
        )
        for d, (document, note) in enumerate(zip(document.to_pylist(), note.to_pylist()))
    ]


def check_text(name: str, doc_id: str, text: str, stored_hash: str | None, labels: DocumentLabels) -> None:
    """Raises LabelError unless the labels, of the label set `name`, are about this very text."""
    if stored_hash != text_hash(text):
        raise LabelError(
            f"label set {name}, document {doc_id}: its labels are about another text (text_hash {stored_hash}, the "
            f"text has {text_hash(text)}); label the source again, or train on the source that was labelled"
        )
    _check_inside(f"label set {name}, document {doc_id}", len(text.encode()), labels)


def token_targets(labels: Sequence[DocumentLabels], tokens: Tokenized, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets of a batch's tokens by any overlap (arXiv 2601.21571): float32 [T] values, bool [T] known.

    The batch's document d has the labels `labels[first + d]`. A token that touches a span has the largest value among
    the spans it touches; one that touches none, but an unknown stretch, is not known. A token of 0 bytes has the fate
    of its `udfs.spans.carry.carriers` token. Whether the labels are about these texts at all is for `check_text`.

    Raises LabelError for a span outside its text.
    """
    documents = labels[first : first + len(tokens.bounds_D1) - 1]
    some = [DocumentLabels() if d in tokens.failed else one for d, one in enumerate(documents)]
    end_T = np.cumsum(tokens.bytes_T, dtype=np.int64)
    byte_bounds_D1 = np.concatenate([[0], end_T])[tokens.bounds_D1]
    carrier_T = carriers(tokens.bytes_T, tokens.bounds_D1)
    extent = (end_T - tokens.bytes_T)[carrier_T], end_T[carrier_T]
    spans_N2 = _on_one_axis([one.spans_N2 for one in some], byte_bounds_D1)
    values_N = np.concatenate([np.zeros(0, np.float32), *(one.values_N for one in some)])
    unknown_M2 = _on_one_axis([one.unknown_M2 for one in some], byte_bounds_D1)
    return largest(spans_N2, values_N, *extent), touched(spans_N2, *extent) | ~touched(unknown_M2, *extent)


def _on_one_axis(spans: list[np.ndarray], byte_bounds_D1: np.ndarray) -> np.ndarray:
    """The documents' spans, int64 [N, 2], with the documents' bytes end to end."""
    owner_N = np.repeat(np.arange(len(spans)), [len(one) for one in spans])
    flat_N2 = np.concatenate([_no_spans(), *spans])
    _refuse_outside(flat_N2, np.diff(byte_bounds_D1)[owner_N], lambda at: f"document {owner_N[at]} of the batch")
    return flat_N2 + byte_bounds_D1[owner_N][:, None]


def _refuse_outside(spans_N2: np.ndarray, size_N: np.ndarray, where: Callable[[int], str]) -> None:
    """Raises LabelError for a span that leaves a text of so many bytes; `where` names the span's document."""
    outside_N = (spans_N2 < 0).any(axis=1) | (spans_N2 > size_N[:, None]).any(axis=1)
    if outside_N.any():
        at = int(np.argmax(outside_N))
        raise LabelError(
            f"{where(at)}: span {spans_N2[at].tolist()} lies outside the text of {size_N[at]} UTF-8 bytes; offsets "
            "must be bytes, not characters"
        )


def _check_inside(where: str, size: int, labels: DocumentLabels) -> None:
    for part in (labels.spans_N2, labels.unknown_M2):
        _refuse_outside(part, np.full(len(part), size), lambda _: where)


def _check_shape(doc_id: str, labels: DocumentLabels) -> None:
    for part in (labels.spans_N2, labels.unknown_M2):
        if len(part) and ((part[:, 0] >= part[:, 1]).any() or (part[1:, 0] < part[:-1, 1]).any() or part[0, 0] < 0):
            raise LabelError(f"document {doc_id}: label spans must be sorted, disjoint and not empty: {part.tolist()}")
    values = labels.values_N if labels.document is None else np.append(labels.values_N, labels.document)
    if len(labels.values_N) != len(labels.spans_N2) or not ((values >= 0) & (values <= 1)).all():
        raise LabelError(
            f"document {doc_id}: labels must be one value in 0..1 a span; {len(labels.spans_N2)} spans have the values "
            f"{labels.values_N.tolist()}, the document {labels.document}"
        )


def _flat(lists: pa.Array | pa.ChunkedArray) -> tuple[list[np.ndarray], np.ndarray]:
    """The fields of a column of lists of structs, rows end to end, and the rows' bounds: int64 [D + 1]."""
    whole = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    counts_D = pc.fill_null(pc.call_function("list_value_length", [whole]), 0).to_numpy(zero_copy_only=False)
    fields = [np.asarray(field) for field in whole.flatten().flatten()]
    return fields, np.concatenate([[0], np.cumsum(counts_D)]).astype(np.int64)


def _offsets(counts: list[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
