"""One group of documents through one encoder: its packs, and where their values go.

Values are put on the logit grid as they come back and summed per document, so that what is kept of a token is one byte
a policy, however long a document is.
"""

from collections.abc import Iterator

import numpy as np

from udfs.scores import quantize_logits
from udfs.scoring.packing import Windows, gather, kept, packs, scatter


class Forward:
    """Windows of D documents, ids_T int32 [T] and bounds_D1 int64 [D + 1], under P policies.

    Several sets of windows may follow one another; what a later one says of a document replaces the earlier.

    Attributes:
        scores_PT: uint8 on the logit grid, 0 where no value was taken.
        broken_PD: bool, NaN or infinity among the values.
    """

    def __init__(self, ids_T: np.ndarray, bounds_D1: np.ndarray, policies: int) -> None:
        self.ids_T, self.bounds_D1 = ids_T, bounds_D1
        documents = len(bounds_D1) - 1
        self.scores_PT = np.zeros((policies, len(ids_T)), dtype=np.uint8)
        self._sums_PD = np.zeros((policies, documents))
        self.broken_PD = np.zeros((policies, documents), dtype=bool)
        self._kept_D = np.zeros(documents)
        self._cut: Windows | None = None

    @property
    def lengths_D(self) -> np.ndarray:
        """Tokens of every document."""
        return np.diff(self.bounds_D1)

    @property
    def document_logits_PD(self) -> np.ndarray:
        """float64 means over the tokens that were read, NaN where none was."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._sums_PD / self._kept_D

    def packs(self, cut: Windows, token_budget: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Begins with these windows: those (indices) of every pack, and what a back end reads, as in `gather`."""
        documents = np.unique(cut.doc_W)
        self._cut = cut
        self._sums_PD[:, documents] = 0
        self.broken_PD[:, documents] = False
        kept_D = np.bincount(cut.doc_W, cut.keep_stop_W - cut.keep_start_W, len(self.bounds_D1) - 1)
        self._kept_D = np.where(kept_D, kept_D, self._kept_D)
        for pack in packs(cut.lengths_W, token_budget):
            yield pack, *gather(self.ids_T, self.bounds_D1, cut, pack)

    def take(self, pack: np.ndarray, values_PH: np.ndarray) -> None:
        """Puts a pack's values, float32 [P, 2 * policies], in their places."""
        assert self._cut is not None
        cut = self._cut
        from_P, lengths_N = kept(cut, pack)
        values_KH = values_PH[from_P]
        finite_KH = np.isfinite(values_KH)
        values_KH = np.where(finite_KH, values_KH, 0)
        doc_N, first_N = cut.doc_W[pack], np.cumsum(lengths_N) - lengths_N
        for policy in range(len(self.scores_PT)):
            token, document = 2 * policy, 2 * policy + 1
            scatter(quantize_logits(values_KH[:, token]), self.bounds_D1, cut, pack, self.scores_PT[policy])
            sums_N = np.add.reduceat(values_KH[:, document].astype(np.float64), first_N)
            np.add.at(self._sums_PD[policy], doc_N, sums_N)
            fine_N = np.logical_and.reduceat(finite_KH[:, token] & finite_KH[:, document], first_N)
            np.logical_or.at(self.broken_PD[policy], doc_N, ~fine_N)
