"""One group of documents through one encoder: its packs, and where their values go.

Values are put on the logit grid as they come back and summed per document, so that what is kept of a token is one byte
a policy, however long a document is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from udfs.scores import quantize_logits
from udfs.scoring.packing import Windows, gather, kept, packs, scatter


@dataclass(frozen=True, kw_only=True)
class Forwarded:
    """What P policies' heads say of D documents with T tokens."""

    scores_PT: np.ndarray  # uint8 on the logit grid
    document_logits_PD: np.ndarray  # float64 means over the tokens, NaN where none was read
    broken_PD: np.ndarray  # bool: NaN or infinity among the values


class Forward:
    """Packs of the windows of D documents, ids_T int32 [T] and bounds_D1 int64 [D + 1].

    A document's logit is the mean over the tokens that its windows keep.
    """

    def __init__(self, ids_T: np.ndarray, bounds_D1: np.ndarray, cut: Windows, policies: int) -> None:
        self.cut = cut
        self._ids_T, self._bounds_D1 = ids_T, bounds_D1
        documents = len(bounds_D1) - 1
        self._scores_PT = np.zeros((policies, len(ids_T)), dtype=np.uint8)
        self._sums_PD = np.zeros((policies, documents))
        self._broken_PD = np.zeros((policies, documents), dtype=bool)
        self._kept_D = np.bincount(cut.doc_W, cut.keep_stop_W - cut.keep_start_W, documents)

    def packs(self, token_budget: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The windows (indices) of every pack, and what a back end reads: ids int64 [P], bounds int64 [N + 1]."""
        for pack in packs(self.cut.lengths_W, token_budget):
            yield pack, *gather(self._ids_T, self._bounds_D1, self.cut, pack)

    def take(self, pack: np.ndarray, values_PH: np.ndarray) -> None:
        """Puts a pack's values, float32 [P, 2 * policies], in their places."""
        from_P, lengths_N = kept(self.cut, pack)
        values_KH = values_PH[from_P]
        finite_KH = np.isfinite(values_KH)
        values_KH = np.where(finite_KH, values_KH, 0)
        doc_N, first_N = self.cut.doc_W[pack], np.cumsum(lengths_N) - lengths_N
        for policy in range(len(self._scores_PT)):
            token, document = 2 * policy, 2 * policy + 1
            scatter(quantize_logits(values_KH[:, token]), self._bounds_D1, self.cut, pack, self._scores_PT[policy])
            sums_N = np.add.reduceat(values_KH[:, document].astype(np.float64), first_N)
            np.add.at(self._sums_PD[policy], doc_N, sums_N)
            fine_N = np.logical_and.reduceat(finite_KH[:, token] & finite_KH[:, document], first_N)
            np.logical_or.at(self._broken_PD[policy], doc_N, ~fine_N)

    def forwarded(self) -> Forwarded:
        """What all packs have said; to be asked when each was taken."""
        with np.errstate(invalid="ignore", divide="ignore"):
            logits_PD = self._sums_PD / self._kept_D
        return Forwarded(scores_PT=self._scores_PT, document_logits_PD=logits_PD, broken_PD=self._broken_PD)
