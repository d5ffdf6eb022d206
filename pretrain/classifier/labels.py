"""Documents with coarse labels, from FineWeb-Edu-shaped Parquet shards and a labels sidecar keyed by `id`.

The label is the source's (a medical textbook, a physics textbook), not a reader's: `borderline` documents, whose label
the sidecar itself distrusts, are marked and left to the caller. The calibration split is by content hash, so it does
not move when shards are reordered or documents added.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from udfs.bundle_spec import TrainingData


@dataclass(frozen=True, kw_only=True)
class Documents:
    """D documents; `positive_D` is bool: the document's domain is the policy's."""

    ids: list[str]
    texts: list[str]
    domains: list[str]
    sources: list[str]
    licenses: list[str]
    positive_D: np.ndarray
    borderline_D: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask_D: np.ndarray) -> "Documents":
        """The documents for which the bool mask holds, in their order."""
        at = np.flatnonzero(mask_D)
        columns = {name: [getattr(self, name)[i] for i in at] for name in _TEXT_COLUMNS}
        return Documents(**columns, positive_D=self.positive_D[at], borderline_D=self.borderline_D[at])


_TEXT_COLUMNS = ("ids", "texts", "domains", "sources", "licenses")


def read_documents(shards: Sequence[Path], labels: Path, positive_domain: str) -> Documents:
    """Reads shards (columns `id`, `text`) in the order of their names, and joins the sidecar.

    Raises:
        FileNotFoundError: no shard was given.
        KeyError: a document has no row in the sidecar; names document and sidecar.
    """
    if not shards:
        raise FileNotFoundError("no corpus shard matches the pattern; check corpus.train and corpus.heldout")
    wanted = ["id", "domain", "source", "license", "borderline"]
    by_id = {row["id"]: row for row in pq.read_table(labels, columns=wanted).to_pylist()}
    ids, texts = [], []
    for shard in sorted(shards):
        table = pq.read_table(shard, columns=["id", "text"])
        ids += table["id"].to_pylist()
        texts += table["text"].to_pylist()
    missing = [name for name in ids if name not in by_id]
    if missing:
        raise KeyError(f"{labels} has no label for {len(missing)} documents, the first is {missing[0]}")
    rows = [by_id[name] for name in ids]
    return Documents(
        ids=ids,
        texts=texts,
        domains=[row["domain"] for row in rows],
        sources=[row["source"] for row in rows],
        licenses=[row["license"] for row in rows],
        positive_D=np.array([row["domain"] == positive_domain for row in rows], dtype=bool),
        borderline_D=np.array([row["borderline"] for row in rows], dtype=bool),
    )


def content_share(texts: Sequence[str]) -> np.ndarray:
    """A number in [0, 1) per text that depends on its content alone (SHA-256): float64 [D]."""
    heads = [hashlib.sha256(text.encode("utf-8")).digest()[:8] for text in texts]
    return np.array([int.from_bytes(head, "big") / 2**64 for head in heads])


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
