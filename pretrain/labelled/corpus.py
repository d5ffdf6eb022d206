"""The documents of a recipe: read, joined with their labels, filtered by licence, split by content.

Which documents train, which choose thresholds and which are reported on follows from content, never from position: a
document goes where its near-duplicate cluster goes, and copies of a text go together whatever the sidecar says of them,
so no text is in two splits, also when shards are reordered or a source holds a text twice. Held-out documents win over
training documents: a text that is in both is left out of training. Every document that is not used is counted by its
reason.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.labelled.label_set import join, read_label_set
from tokensieve.pretrain.labelled.labels import Documents, content_share, read_documents
from tokensieve.udfs.reading.text_rows import text_hash


class CorpusConfig(BaseModel):
    """Where the documents are. `train` and `heldout` are file patterns; paths are relative to the current folder.

    Attributes:
        train_labels, heldout_labels: the sidecars with coarse labels (columns id, domain, source, license, borderline
            and, where known, cluster); None where a label set says everything.
        train_label_set, heldout_label_set: folders of label sets (tables `labels/NAME`) that give token labels; None:
            a token's label is its document's coarse one.
        document_share: a document whose label set says nothing of it as a whole is positive where at least this share
            of its known bytes is; None: it has its sidecar's label.
        licenses: licences of documents that may be trained on; documents under others are left out of training.
        positive_domain: the value of the sidecar's `domain` that the policy forbids.
        calibration: share of the train documents, by content hash, kept for choosing thresholds and settings.
        test: share of them kept for the report, where there is no `heldout`.
        half: train on the first or second half of the training documents, by content hash; for weak-to-strong.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: str
    train_labels: Path | None = None
    train_label_set: Path | None = None
    heldout: str | None = None
    heldout_labels: Path | None = None
    heldout_label_set: Path | None = None
    document_share: float | None = Field(default=None, gt=0, le=1)
    licenses: list[str] | None = None
    positive_domain: str | None = None
    calibration: float = Field(default=0.08, gt=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    half: Literal["first", "second"] | None = None

    @model_validator(mode="after")
    def _labelled(self) -> "CorpusConfig":
        sidecar = self.train_labels is not None
        if not sidecar and self.train_label_set is None:
            raise ValueError("training documents need labels: give train_labels, train_label_set, or both")
        for name in ("licenses", "positive_domain"):
            if (getattr(self, name) is not None) != sidecar:
                raise ValueError(f"{name} is about the sidecar's column: train_labels and {name} go together")
        labels = (self.heldout_labels, self.heldout_label_set)
        if self.heldout is not None and labels == (None, None):
            raise ValueError("held-out documents need labels: give heldout_labels, heldout_label_set, or both")
        if self.heldout is None and self.heldout_labels is not None:
            raise ValueError("heldout_labels needs heldout")
        if self.heldout_labels is not None and not sidecar:
            raise ValueError("heldout_labels needs train_labels: what counts as positive is said once")
        return self

    @model_validator(mode="after")
    def _one_test_split(self) -> "CorpusConfig":
        if (self.heldout is None) == (self.test == 0):
            raise ValueError("documents to report on come from either heldout or test: give exactly one of them")
        if self.heldout is None and self.heldout_label_set is not None:
            raise ValueError("heldout_label_set needs heldout; a test split has the labels of train_label_set")
        if self.calibration + self.test >= 1:
            raise ValueError("calibration and test together must leave documents to train on")
        return self


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The splits, the label sets they were labelled by, and counts of what was left out by reason."""

    training: Documents
    calibration: Documents
    heldout: Documents
    label_sets: dict[str, str]
    left_out: dict[str, int]

    def split_hashes(self) -> dict[str, str]:
        """SHA-256 over the sorted text hashes of each split, so that two bundles can show they were split alike."""
        splits = {"training": self.training, "calibration": self.calibration, "heldout": self.heldout}
        return {name: _texts_hash(documents.texts) for name, documents in splits.items()}


def read_corpus(config: CorpusConfig, definition_id: str | None = None) -> Corpus:
    """Reads and splits.

    Args:
        definition_id: the hash of the policy that label sets must be of; None leaves that unchecked.

    Raises:
        FileNotFoundError, FitError: as `read_documents`.
        LabelError: as `read_label_set` and `join`.
        FitError: a split is empty (names it and what was left out), or nobody says what a document's own label is.
    """
    left_out: dict[str, int] = {}
    label_sets: dict[str, str] = {}

    def labelled(name: str, documents: Documents, path: Path | None) -> Documents:
        if path is None:
            return documents
        found = read_label_set(path, definition_id)
        joined = join(documents, found, config.document_share)
        label_sets[name] = f"{found.name} {found.batch}"
        left_out[f"{name}_not_in_label_set"], left_out[f"{name}_unknown"] = joined.missing, joined.unknown
        if config.train_labels is None and joined.without_document_label:
            raise FitError(
                f"{path} says of {joined.without_document_label} documents which tokens, but not whether the document "
                "is forbidden: set corpus.document_share, or give a sidecar"
            )
        return joined.documents

    known = read_documents(_files(config.train), config.train_labels, config.positive_domain)
    licenses = config.licenses if config.licenses is not None else set(known.licenses)
    allowed_D = np.array([license_ in licenses for license_ in known.licenses], dtype=bool)
    left_out["other_licence"] = int((~allowed_D).sum())
    left_out["borderline"] = int((allowed_D & known.borderline_D).sum())
    usable = labelled("train", known.where(allowed_D & ~known.borderline_D), config.train_label_set)
    share_D = unit_share(usable)
    first = config.calibration + config.test
    heldout = usable.where((share_D >= config.calibration) & (share_D < first))
    rest_D = share_D >= first
    if config.heldout is not None:
        heldout = read_documents(_files(config.heldout), config.heldout_labels, config.positive_domain)
        heldout = labelled("heldout", heldout.where(~heldout.borderline_D), config.heldout_label_set)
        seen_D = touches(usable, heldout)
        left_out["also_in_heldout"] = int(seen_D.sum())
        usable, share_D, rest_D = usable.where(~seen_D), share_D[~seen_D], rest_D[~seen_D]
    training = usable.where(rest_D)
    if config.half is not None:
        first_D = half_share(training) < 0.5
        training = training.where(first_D if config.half == "first" else ~first_D)
        left_out["other_half"] = int(rest_D.sum()) - len(training)
    corpus = Corpus(
        training=training,
        calibration=usable.where(share_D < config.calibration),
        heldout=heldout,
        label_sets=label_sets,
        left_out=left_out,
    )
    _check_not_empty(corpus)
    return corpus


def unit_share(documents: Documents) -> np.ndarray:
    """A number in [0, 1) per document, one for all that must stay together: float64 [D].

    It is the hash of the document's cluster, else of its text; where copies of a text tie clusters together, the
    smallest one among them.
    """
    clusters = documents.clusters or [""] * len(documents)
    names = [f"cluster {name}" if name else text for name, text in zip(clusters, documents.texts, strict=True)]
    share_D = content_share(names)
    ties = [np.unique(hash_D, return_inverse=True)[1] for hash_D in (share_D, content_share(documents.texts))]
    while True:
        before_D = share_D
        for tie_D in ties:
            least_G = np.full(len(documents), np.inf)
            np.minimum.at(least_G, tie_D, share_D)
            share_D = least_G[tie_D]
        if (share_D == before_D).all():
            return share_D


def half_share(documents: Documents) -> np.ndarray:
    """Another such number, independent of `unit_share`: for halving documents that are already split, float64 [D]."""
    return content_share([f"half {share!r}" for share in unit_share(documents).tolist()])


def touches(documents: Documents, others: Documents) -> np.ndarray:
    """bool [D]: the document's text, or its cluster, is also among the others."""
    texts, clusters = set(others.texts), set(others.clusters or ()) - {""}
    own = documents.clusters or [""] * len(documents)
    return np.array([t in texts or c in clusters for t, c in zip(documents.texts, own, strict=True)], dtype=bool)


def _check_not_empty(corpus: Corpus) -> None:
    for name in ("training", "calibration", "heldout"):
        if not len(getattr(corpus, name)):
            why = ", ".join(f"{reason} {count}" for reason, count in corpus.left_out.items())
            raise FitError(f"no {name} document is left ({why}); check corpus.licenses, the label set and the shares")


def _texts_hash(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(text_hash(text) for text in texts)).encode()).hexdigest()


def _files(pattern: str) -> list[Path]:
    path = Path(pattern)
    return sorted(path.parent.glob(path.name))
