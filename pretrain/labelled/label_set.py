"""Reads a label set (a table of `udfs.labels.labels.LABEL_SCHEMA`) beside Spark, and joins it to documents by id.

The text hash of every row is checked: labels of another version of a text would land on other words without an error.
Documents that the set does not have, or about which nobody knows anything, are left out and counted, never taken for
clean.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.udfs.files.committed import newest_commit
from tokensieve.udfs.labels.labels import LABEL_SCHEMA, DocumentLabels, LabelError, check_text, decode_labels


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """The rows of one label set by document id, and what its commit says: `inputs`, and `batch`, a hash of them."""

    path: Path
    batch: str
    inputs: dict[str, Any]
    rows: dict[str, tuple[str | None, DocumentLabels]]

    @property
    def name(self) -> str:
        """The name of the labeller."""
        return str(self.inputs.get("labeller", self.path.name))


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Documents with labels, and how many had none: not in the set, or wholly unknown in it.

    Of `without_document_label` the set labels tokens only; they kept the label that they came with.
    """

    documents: Documents
    missing: int
    unknown: int
    without_document_label: int


def read_label_set(path: Path, definition_id: str | None) -> LabelSet:
    """Reads the Parquet or Delta table of a label set.

    Args:
        definition_id: the hash of the policy that the labels must be of; None leaves that unchecked.

    Raises:
        LabelError: there is no such table, it was not written by a labeller, or it is of another policy.
        ImportError: it is a Delta table and the package deltalake is missing.
    """
    commit, table = _read_delta(path) if (path / "_delta_log").is_dir() else _read_parquet(path)
    inputs = commit["inputs"]
    if definition_id is not None and inputs.get("definition_id") != definition_id:
        raise LabelError(
            f"{path}: labelled by policy {inputs.get('policy')} ({inputs.get('definition_id')}), but the recipe's "
            f"policy is {definition_id}; label again by this policy, or name the policy that the labels are of"
        )
    return LabelSet(path=path, batch=commit["batch"], inputs=inputs, rows=decode_labels(table))


def join(documents: Documents, labels: LabelSet, document_share: float | None = None) -> Joined:
    """The documents that the set knows something about, with their labels.

    A document's own label becomes that of the set where it gives one (at least one half is positive), else whether at
    least `document_share` of its known bytes is positive, where that is given.

    Raises LabelError when labels are about another text, or lie outside it.
    """
    at: list[int] = []
    found: list[DocumentLabels] = []
    missing = unknown = 0
    for d, (doc_id, text) in enumerate(zip(documents.ids, documents.texts, strict=True)):
        if doc_id not in labels.rows:
            missing += 1
            continue
        stored_hash, one = labels.rows[doc_id]
        if _says_nothing(one, text):
            unknown += 1
            continue
        check_text(labels.name, doc_id, text, stored_hash, one)
        at.append(d)
        found.append(one)
    mask_D = np.zeros(len(documents), dtype=bool)
    mask_D[at] = True
    kept = documents.where(mask_D)
    said = [_document_label(one, text, document_share) for one, text in zip(found, kept.texts, strict=True)]
    own = [coarse if label is None else label for label, coarse in zip(said, kept.positive_D, strict=True)]
    return Joined(
        documents=replace(kept, labels=found, positive_D=np.array(own, dtype=bool)),
        missing=missing,
        unknown=unknown,
        without_document_label=said.count(None),
    )


def _document_label(one: DocumentLabels, text: str, share: float | None) -> bool | None:
    if one.document is not None:
        return one.document >= 0.5
    known = len(text.encode("utf-8")) - _length(one.unknown_M2)
    if share is None or known <= 0:
        return None
    return _length(one.spans_N2[one.values_N >= 0.5]) >= share * known


def _length(spans_N2: np.ndarray) -> int:
    return int((spans_N2[:, 1] - spans_N2[:, 0]).sum())


def _says_nothing(one: DocumentLabels, text: str) -> bool:
    """Whether neither a token nor the document has a label: all bytes unknown, or no more than a note."""
    if one.document is not None or len(one.spans_N2):
        return False
    unknown = _length(one.unknown_M2)
    return unknown >= len(text.encode("utf-8")) > 0 or (one.note is not None and not unknown)


def _read_parquet(path: Path) -> tuple[dict[str, Any], pa.Table]:
    found = newest_commit(path)
    if found is None:
        raise LabelError(f"{path} is no label set: no commit in it; run the `tokensieve label` verb first")
    tables = [pq.read_table(file, columns=LABEL_SCHEMA.names) for file in found.files]
    return {"batch": found.batch, "inputs": found.inputs}, pa.concat_tables(tables)


def _read_delta(path: Path) -> tuple[dict[str, Any], pa.Table]:
    try:
        from deltalake import DeltaTable
    except ImportError:
        raise ImportError(f"{path} is a Delta table: install the package deltalake, or write it as Parquet") from None
    table = DeltaTable(str(path))
    said = table.history(1)[0].get("userMetadata")
    if not said:
        raise LabelError(f"{path}: version {table.version()} was not written by a labeller; label again")
    return json.loads(said), table.to_pyarrow_table(columns=LABEL_SCHEMA.names)
