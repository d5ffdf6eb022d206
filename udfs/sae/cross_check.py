"""SAE labels held against labels of sentences: what fired inside a sentence judged "retain" becomes unknown.

The released code drops such tokens to "retain". We do not: two labellers that contradict each other are no evidence
for either, and a classifier that learns "retain" from tokens on which several latents fired learns the SAE's noise.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from tokensieve.udfs.labels.labels import LABEL_SCHEMA, DocumentLabels, LabelError, decode_labels, encode_labels
from tokensieve.udfs.spans.intervals import Spans, overlay

# Columns of the other label set in the joined rows; null where it lacks the document.
OTHER = {"text_hash": "other_hash", "spans": "other_spans", "unknown": "other_unknown"}
FORGET = 0.5  # a sentence of at least this value is "forget"


def cross_check(name: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of LABEL_SCHEMA joined with the columns OTHER of the label set `name`, to LABEL_SCHEMA.

    Raises LabelError where the two are about different texts.
    """
    for batch in batches:
        ours = decode_labels(batch.select(LABEL_SCHEMA.names))
        theirs = decode_labels(_other(batch))
        checked = [_checked(name, doc_id, ours[doc_id], theirs[doc_id]) for doc_id in batch["doc_id"].to_pylist()]
        yield encode_labels(batch.column("doc_id"), batch.column("text_hash"), checked)


def hold_against(ours: DocumentLabels, theirs: DocumentLabels) -> DocumentLabels:
    """Our labels, with what lies in bytes that they call "retain" turned into unknown.

    Bytes that they do not know stay as ours say.
    """
    forget_M2 = theirs.spans_N2[theirs.values_N >= FORGET]
    size = max((int(part.max()) for part in (ours.spans_N2, forget_M2, theirs.unknown_M2) if len(part)), default=0)
    bounds_D1 = np.array([0, size], dtype=np.int64)
    mine = _spans(ours.spans_N2)
    denied = _only(mine, [_spans(forget_M2), _spans(theirs.unknown_M2)], bounds_D1)
    kept = _only(mine, [denied], bounds_D1)
    # Kept pieces keep the value of the span that they lie in.
    value_N = ours.values_N[np.searchsorted(ours.spans_N2[:, 0], kept.start_N, side="right") - 1]
    known = _only(denied, [_spans(ours.unknown_M2)], bounds_D1)
    unknown_M2 = np.concatenate([ours.unknown_M2, _pairs(known)])
    return DocumentLabels(
        spans_N2=_pairs(kept),
        value_N=value_N,
        unknown_M2=unknown_M2[np.argsort(unknown_M2[:, 0], kind="stable")],
        document=ours.document,
        note=ours.note,
    )


def _checked(
    name: str, doc_id: str, ours: tuple[str | None, DocumentLabels], theirs: tuple[str | None, DocumentLabels]
) -> DocumentLabels:
    (our_hash, labels), (their_hash, other) = ours, theirs
    if their_hash is None or our_hash is None:
        return labels  # not in the other set, or without a text
    if their_hash != our_hash:
        raise LabelError(
            f"label set {name}, document {doc_id}: it is about another text (text_hash {their_hash}, the source has "
            f"{our_hash}); label the sentences of this source again"
        )
    checked = hold_against(labels, other)
    if np.array_equal(checked.spans_N2, labels.spans_N2):
        return checked
    lost = int(np.diff(labels.spans_N2).sum() - np.diff(checked.spans_N2).sum())
    return replace(checked, note=f"contradicted: {name} calls {lost} of our forget bytes retain")


def _other(batch: pa.RecordBatch) -> pa.RecordBatch:
    empty = {name: pa.nulls(batch.num_rows, LABEL_SCHEMA.field(name).type) for name in LABEL_SCHEMA.names}
    given = {name: batch.column(column) for name, column in OTHER.items()}
    columns = empty | {"doc_id": batch.column("doc_id")} | given
    return pa.RecordBatch.from_arrays([columns[name] for name in LABEL_SCHEMA.names], schema=LABEL_SCHEMA)


def _spans(spans_N2: np.ndarray) -> Spans:
    return Spans(start_N=spans_N2[:, 0], end_N=spans_N2[:, 1])


def _pairs(spans: Spans) -> np.ndarray:
    return np.stack([spans.start_N, spans.end_N], axis=1).astype(np.int64)


def _only(spans: Spans, without: list[Spans], bounds_D1: np.ndarray) -> Spans:
    """The parts of `spans` that lie in none of `without`."""
    pieces, layer_N = overlay([*without, spans], bounds_D1)
    return pieces.where(layer_N == len(without))
