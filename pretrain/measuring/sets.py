"""Evaluation sets: files of documents with labels of one of three kinds, read a few documents at a time.

A set may have several sources, so that texts marked by annotators can stand against texts that are free of the policy.
What has no label is unknown: counted, never taken for clean.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokensieve.pretrain.errors import SetError
from tokensieve.pretrain.hashed_file import file_sha256
from tokensieve.pretrain.labelled.label_set import LabelSet, join, read_label_set
from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.udfs.labels.labels import DocumentLabels
from tokensieve.udfs.labels.marked_spans import marked_spans
from tokensieve.udfs.reading.text_rows import made_id

BATCH = 64  # documents held at a time


class LabelledSource(BaseModel):
    """Parquet files of documents, and where their labels are: exactly one of `sidecar`, `label_set` and `spans`.

    Attributes:
        documents: a file pattern. text, id: their columns; documents without ids are named by file and row.
        sidecar: a Parquet table keyed by `id` with the coarse labels `domain` (and `source`, `borderline`); a document
            is positive where its domain is `positive_domain`. Borderline documents are left out unless `borderline`.
        label_set: the folder of a label set (table `labels/NAME`).
        spans: the span types of the column `spans` (list of start, end in characters, type) that are positive begin
            with this. unmarked: whether all other text is labelled "retain", or unknown.
        domain, source: columns of the documents to group by; a sidecar's own win.
        used_before: whether documents that the classifier or its thresholds were made with stop the report, or are left
            out of it and counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    documents: str
    text: str = "text"
    id: str = "id"
    sidecar: Path | None = None
    positive_domain: str | None = None
    borderline: bool = False
    label_set: Path | None = None
    spans: str | None = None
    unmarked: Literal["retain", "unknown"] = "retain"
    domain: str | None = None
    source: str | None = None
    used_before: Literal["refuse", "leave_out"] = "refuse"

    @model_validator(mode="after")
    def _one_kind(self) -> "LabelledSource":
        kinds = [name for name in ("sidecar", "label_set", "spans") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError(f"give exactly one of sidecar, label_set and spans, not {' and '.join(kinds) or 'none'}")
        if (self.sidecar is None) != (self.positive_domain is None):
            raise ValueError("sidecar and positive_domain go together")
        return self


class EvaluationSet(BaseModel):
    """A named set of documents to report on.

    Attributes:
        definition: one sentence that says what the figures on it mean; it stands beside them wherever they go.
        prevalence: the share of positive units in the corpus to which the classifier will be applied; None: the
            set's own share.
        mistakes: texts shown in which the classifier is most wrong, so many of each kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    definition: str = ""
    sources: list[LabelledSource] = Field(min_length=1)
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    mistakes: int = Field(default=6, ge=0, le=100)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A few documents with their labels; `known_D` says which have a label of their own as a document.

    `used_before` as in `LabelledSource`.
    """

    documents: Documents
    known_D: np.ndarray
    left_out: dict[str, int]
    used_before: Literal["refuse", "leave_out"] = "refuse"

    def without(self, used_D: np.ndarray, reason: str) -> "Chunk":
        """Leaves the documents of the mask out, for that reason."""
        count = int(used_D.sum())
        return replace(
            self,
            documents=self.documents.where(~used_D),
            known_D=self.known_D[~used_D],
            left_out={**self.left_out, reason: self.left_out.get(reason, 0) + count} if count else self.left_out,
        )


def files(pattern: str) -> list[Path]:
    """The files of a pattern by name. Raises FileNotFoundError when there is none."""
    path = Path(pattern)
    found = sorted(path.parent.glob(path.name))
    if not found:
        raise FileNotFoundError(f"no file matches {pattern}; check the path, which is relative to the current folder")
    return found


def input_files(sources: list[LabelledSource]) -> list[tuple[str, str]]:
    """Path and hash of every file that the sources name, as `file_hashes`."""
    return file_hashes(
        [source.documents for source in sources],
        [source.sidecar for source in sources],
        [source.label_set for source in sources],
    )


def file_hashes(
    patterns: Iterable[str], tables: Iterable[Path | None], label_sets: Iterable[Path | None]
) -> list[tuple[str, str]]:
    """Path and SHA-256 of every file, sorted; a label set goes by its batch, which names its content."""
    paths = [path for pattern in patterns for path in files(pattern)] + [path for path in tables if path]
    named = {str(path): file_sha256(path) for path in paths}
    named |= {str(path): read_label_set(path, None).batch for path in label_sets if path}
    return sorted(named.items())


def chunks(sources: list[LabelledSource], definition_id: str | None = None) -> Iterator[Chunk]:
    """The documents of all sources, a few at a time.

    Args: the hash of the policy that label sets must be of; None leaves that unchecked.

    Raises:
        FileNotFoundError: a pattern matches no file, or a sidecar is missing.
        SetError: a column is missing, or a document has no row in the sidecar.
        LabelError: labels are of another policy, about another text, or lie outside it.
    """
    for source in sources:
        labels = read_label_set(source.label_set, definition_id) if source.label_set else None
        sidecar = _sidecar(source)
        for path in files(source.documents):
            yield from _file_chunks(source, path, sidecar, labels)


def in_memory(documents: Documents, *, known: bool = True) -> Iterator[Chunk]:
    """Documents that are already there, as a recipe has them; `known`: their own labels count as documents' labels."""
    at_D = np.arange(len(documents))
    for first in range(0, len(documents), BATCH):
        part = documents.where((at_D >= first) & (at_D < first + BATCH))
        yield Chunk(documents=part, known_D=np.full(len(part), known), left_out={})


def _sidecar(source: LabelledSource) -> dict[str, dict[str, Any]] | None:
    if source.sidecar is None:
        return None
    if not source.sidecar.is_file():
        raise FileNotFoundError(f"sidecar {source.sidecar} does not exist; paths are relative to the current folder")
    names = pq.read_schema(source.sidecar).names
    missing = [name for name in ("id", "domain") if name not in names]
    if missing:
        raise SetError(f"{source.sidecar} has no column {missing[0]}; its columns: {', '.join(names)}")
    wanted = [name for name in ("id", "domain", "source", "borderline") if name in names]
    return {row["id"]: row for row in pq.read_table(source.sidecar, columns=wanted).to_pylist()}


def _file_chunks(
    source: LabelledSource, path: Path, sidecar: dict[str, dict[str, Any]] | None, labels: LabelSet | None
) -> Iterator[Chunk]:
    with pq.ParquetFile(path) as file:
        columns = _columns(source, path, file.schema_arrow.names)
        first = 0
        for batch in file.iter_batches(batch_size=BATCH, columns=columns):
            rows = batch.to_pylist()
            for at, row in enumerate(rows, start=first):
                row["id"] = str(row[source.id]) if row.get(source.id) is not None else made_id(path.name, at)
            first += len(rows)
            yield _chunk(source, rows, sidecar, labels)


def _columns(source: LabelledSource, path: Path, names: list[str]) -> list[str]:
    wanted = [source.text, source.domain, source.source, "spans" if source.spans is not None else None]
    for name in wanted:
        if name is not None and name not in names:
            raise SetError(f"{path} has no column {name}; its columns: {', '.join(names)}")
    return [name for name in dict.fromkeys([*wanted, source.id]) if name in names]  # the id may be missing


def _chunk(
    source: LabelledSource,
    rows: list[dict[str, Any]],
    sidecar: dict[str, dict[str, Any]] | None,
    labels: LabelSet | None,
) -> Chunk:
    some = [row for row in rows if row[source.text] is not None]
    left_out = {"no_text": len(rows) - len(some)}
    said = [_said(source, row, sidecar) for row in some]
    kept = [(row, about) for row, about in zip(some, said, strict=True) if source.borderline or not about["borderline"]]
    left_out["borderline"] = len(some) - len(kept)
    documents = Documents(
        ids=[row["id"] for row, _ in kept],
        texts=[row[source.text] for row, _ in kept],
        domains=[about["domain"] for _, about in kept],
        sources=[about["source"] for _, about in kept],
        licenses=[""] * len(kept),
        positive_D=np.array([about["domain"] == source.positive_domain for _, about in kept], dtype=bool),
        borderline_D=np.array([about["borderline"] for _, about in kept], dtype=bool),
    )
    if source.spans is not None:
        marked = [_marked(source, row[source.text], row["spans"] or ()) for row, _ in kept]
        documents = replace(documents, labels=marked)
    if labels is not None:
        joined = join(documents, labels)
        documents = joined.documents
        left_out |= {"not_in_label_set": joined.missing, "unknown": joined.unknown}
    own = [one.document is not None for one in documents.labels] if documents.labels is not None else None
    known_D = np.ones(len(documents), dtype=bool) if own is None else np.array(own, dtype=bool)
    return Chunk(
        documents=documents,
        known_D=known_D,
        left_out={reason: count for reason, count in left_out.items() if count},
        used_before=source.used_before,
    )


def _marked(source: LabelledSource, text: str, marks: Iterable[Mapping[str, Any]]) -> DocumentLabels:
    """The union of the wanted marks; all other text is "retain", or unknown."""
    whole = [[0, len(text.encode())]] if source.unmarked == "unknown" and text else []
    return DocumentLabels(
        spans_N2=marked_spans(text, marks, source.spans or "", "characters"),
        unknown_M2=np.array(whole, dtype=np.int64).reshape(-1, 2),
    )


def _said(source: LabelledSource, row: dict[str, Any], sidecar: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    """Domain, source and whether the label is distrusted, of one document."""
    own = {
        "domain": str(row[source.domain] or "") if source.domain else "",
        "source": str(row[source.source] or "") if source.source else "",
        "borderline": False,
    }
    if sidecar is None:
        return own
    if row["id"] not in sidecar:
        raise SetError(f"{source.sidecar} has no label for document {row['id']} of {source.documents}; label it, too")
    return own | {name: value for name, value in sidecar[row["id"]].items() if value is not None and name in own}
