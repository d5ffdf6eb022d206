"""Documents with labels: coarse ones from a sidecar keyed by `id`, or those of a label set, token by token.

The coarse label is the source's (a medical textbook, a physics textbook), not a reader's: `borderline` documents, whose
label the sidecar itself distrusts, are marked and left to the caller. What is unknown stays a third state in `targets`,
and whoever trains or measures leaves it out.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.hashing import content_hashes
from tokensieve.udfs.bundles.bundle_spec import TrainingData
from tokensieve.udfs.labels.labels import DocumentLabels, token_targets
from tokensieve.udfs.reading.text_rows import made_id
from tokensieve.udfs.tokenizing.tokenizer import Tokenized


@dataclass(frozen=True, kw_only=True)
class Documents:
    """D documents.

    Attributes:
        positive_D: bool, the document's own label: that of its label set where it has one, else whether its domain is
            the policy's. borderline_D: bool, the sidecar distrusts that label.
        clusters: a name per document for what must stay in one split (near duplicates), "" for none.
        labels: token labels from a label set, a document each; None where only coarse labels are known.
    """

    ids: list[str]
    texts: list[str]
    domains: list[str]
    sources: list[str]
    licenses: list[str]
    positive_D: np.ndarray
    borderline_D: np.ndarray
    clusters: list[str] | None = None
    labels: list[DocumentLabels] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask_D: np.ndarray) -> "Documents":
        """The documents for which the bool mask holds, in their order."""
        at = np.flatnonzero(mask_D)
        columns = {name: [getattr(self, name)[i] for i in at] for name in _TEXT_COLUMNS}
        return Documents(
            **columns,
            positive_D=self.positive_D[at],
            borderline_D=self.borderline_D[at],
            clusters=None if self.clusters is None else [self.clusters[i] for i in at],
            labels=None if self.labels is None else [self.labels[i] for i in at],
        )


_TEXT_COLUMNS = ("ids", "texts", "domains", "sources", "licenses")


def targets(documents: Documents, tokens: Tokenized, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets of the tokens of the documents from `first` on: float32 [T] in 0..1, and bool [T], true where known.

    They are the label set's, by any overlap (`udfs.labels.labels.token_targets`); without one every token has its
    document's coarse label.
    """
    if documents.labels is not None:
        return token_targets(documents.labels, tokens, first)
    lengths_D = np.diff(tokens.bounds_D1)
    coarse_D = documents.positive_D[first : first + len(lengths_D)].astype(np.float32)
    value_T = np.repeat(coarse_D, lengths_D)
    return value_T, np.ones(len(value_T), dtype=bool)


def read_documents(shards: Sequence[Path], sidecar: Path | None, positive_domain: str | None) -> Documents:
    """Reads shards (columns `id`, `text`) in the order of their names, and joins the sidecar.

    Without a sidecar no document has a label of its own (`positive_D` is false and means nothing), a domain or a
    licence; its source is its shard's folder.

    Raises:
        FileNotFoundError: no shard was given.
        FitError: a document has no row in the sidecar; names document and sidecar.
    """
    if not shards:
        raise FileNotFoundError("no corpus shard matches the pattern; check corpus.train and corpus.heldout")
    ids, texts, folders = _read_shards(shards)
    if sidecar is None:
        return Documents(
            ids=ids,
            texts=texts,
            domains=[""] * len(ids),
            sources=folders,
            licenses=["unknown"] * len(ids),
            positive_D=np.zeros(len(ids), dtype=bool),
            borderline_D=np.zeros(len(ids), dtype=bool),
        )
    wanted = ["id", "domain", "source", "license", "borderline"]
    has_clusters = "cluster" in pq.read_schema(sidecar).names
    columns = [*wanted, "cluster"] if has_clusters else wanted
    by_id = {row["id"]: row for row in pq.read_table(sidecar, columns=columns).to_pylist()}
    missing = [name for name in ids if name not in by_id]
    if missing:
        raise FitError(f"{sidecar} has no label for {len(missing)} documents, the first is {missing[0]}")
    rows = [by_id[name] for name in ids]
    return Documents(
        ids=ids,
        texts=texts,
        domains=[row["domain"] for row in rows],
        sources=[row["source"] for row in rows],
        licenses=[row["license"] for row in rows],
        positive_D=np.array([row["domain"] == positive_domain for row in rows], dtype=bool),
        borderline_D=np.array([row["borderline"] for row in rows], dtype=bool),
        clusters=[row["cluster"] or "" for row in rows] if has_clusters else None,
    )


def _read_shards(shards: Sequence[Path]) -> tuple[list[str], list[str], list[str]]:
    """Ids, texts and folders of all rows; a row without an id is named as scoring names it, by file and row."""
    ids, texts, folders = [], [], []
    for shard in sorted(shards):
        named = "id" in pq.read_schema(shard).names
        table = pq.read_table(shard, columns=["id", "text"] if named else ["text"])
        given = table["id"].to_pylist() if named else [None] * len(table)
        ids += [str(name) if name is not None else made_id(shard.name, row) for row, name in enumerate(given)]
        texts += table["text"].to_pylist()
        folders += [shard.absolute().parent.name] * len(table)
    return ids, texts, folders


def content_share(texts: Sequence[str]) -> np.ndarray:
    """A number in [0, 1) per text that depends on its content alone (SHA-256): float64 [D]."""
    return content_hashes(text.encode("utf-8") for text in texts) / 2.0**64


def provenance(documents: Documents) -> list[TrainingData]:
    """What the bundle says about its training data, a record per source and licence, sorted."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, source, license_ in zip(documents.ids, documents.sources, documents.licenses, strict=True):
        groups.setdefault((source, license_), []).append(name)
    return [
        TrainingData(
            name=source,
            license=license_,
            documents=len(ids),
            sha256=hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest(),
        )
        for (source, license_), ids in sorted(groups.items())
    ]
