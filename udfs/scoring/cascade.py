"""The cascade: a few short stretches of every document first, all of its tokens only where those look like forget text.

The probe is the mean probability of the token head over the stretches. The document head reads the same features and
parts documents well, but a document of another topic may hold forget tokens too: kept with 99 % of them, the token head
let a third of the text pass where the document head let half. What a skipped document has outside its stretches
is not known, and the table says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from tokensieve.udfs.packing.windows import Windows, runs
from tokensieve.udfs.scores.stored_scores import probabilities


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """How documents are probed, and whose probe leads to a full scan.

    Attributes:
        share: of a document's tokens that its stretches hold, about. stretch: tokens of one. least: stretches of one
            document; one of which they would be half or more is scanned without a probe.
        thresholds: (policy, probe) from which on a document is scanned; one policy's suffices.
    """

    share: float
    stretch: int
    least: int
    thresholds: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Documents that are scanned whatever their probe says: a part of all, chosen by a hash of their id.

    Attributes:
        first, last: the part, as shares of the hash's range. seed: of the hash.
        only: no other document is scored, nor leaves the stage.
    """

    first: float
    last: float
    seed: int
    only: bool = False

    def chosen(self, doc_ids: Sequence[str]) -> np.ndarray:
        """bool [D]: the documents that belong to the part."""
        hashes = np.array([xxhash.xxh3_64_intdigest(doc_id.encode(), self.seed) for doc_id in doc_ids], np.uint64)
        place_D = hashes.astype(np.float64) / 2**64
        return (place_D >= self.first) & (place_D < self.last)


def stretches(lengths_D: np.ndarray, cascade: Cascade) -> Windows:
    """The stretches of documents of the given lengths, evenly spaced and wholly kept; a short document has none."""
    lengths_D = np.asarray(lengths_D, dtype=np.int64)
    count_D = np.maximum(np.ceil(lengths_D * cascade.share / cascade.stretch).astype(np.int64), cascade.least)
    count_D = np.where(count_D * cascade.stretch < lengths_D / 2, count_D, 0)
    doc_W = np.repeat(np.arange(len(lengths_D), dtype=np.int64), count_D)
    nth_W = runs(np.zeros_like(count_D), count_D)
    room_W = lengths_D[doc_W] - cascade.stretch
    start_W = (2 * nth_W + 1) * room_W // (2 * count_D[doc_W])
    stop_W = start_W + cascade.stretch
    return Windows(doc_W=doc_W, start_W=start_W, stop_W=stop_W, keep_start_W=start_W, keep_stop_W=stop_W)


def probes(scores_T: np.ndarray, bounds_D1: np.ndarray, cut: Windows) -> np.ndarray:
    """Mean probability of the token head over the stretches `cut`, float32 [D]; NaN for a document without any."""
    at_K = runs(bounds_D1[cut.doc_W] + cut.start_W, cut.lengths_W)
    doc_K = np.repeat(cut.doc_W, cut.lengths_W)
    documents = len(bounds_D1) - 1
    with np.errstate(invalid="ignore"):
        mean_D = np.bincount(doc_K, probabilities(scores_T[at_K]), documents) / np.bincount(doc_K, minlength=documents)
    return mean_D.astype(np.float32)


def scanned(probe_PD: np.ndarray, policies: Sequence[str], cascade: Cascade) -> "np.ndarray":
    """bool [D]: documents that some policy's probe leads to a full scan, or that have no probe."""
    known = dict(cascade.thresholds)
    threshold_P = np.array([known[policy] for policy in policies], dtype=np.float32)
    return np.any(np.isnan(probe_PD) | (probe_PD >= threshold_P[:, None]), axis=0)
