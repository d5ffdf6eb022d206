"""How far two labellers agree: a table of four counts, and what is read off it. Only what both know is counted.

A labelled unit is a byte or a token; values of at least 0.5 are "forget". Cohen's kappa is the agreement beyond what
the two shares alone would give (Cohen 1960): with rare labels plain agreement says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.udfs.labels.labels import DocumentLabels, token_targets
from tokensieve.udfs.tokenizing.tokenizer import Tokenized

FORGET = 0.5
COUNTS = ("both", "only_a", "only_b", "neither", "unknown")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Units that both, one or none of A and B label "forget", of those that both know; unknown to one are apart.

    A figure whose denominator is 0 is None. Precision and recall are A's, with B as the truth.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    unknown: int = 0

    @property
    def known(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def share_a(self) -> float | None:
        """A's share of "forget"."""
        return _ratio(self.both + self.only_a, self.known)

    @property
    def share_b(self) -> float | None:
        return _ratio(self.both + self.only_b, self.known)

    @property
    def precision(self) -> float | None:
        return _ratio(self.both, self.both + self.only_a)

    @property
    def recall(self) -> float | None:
        return _ratio(self.both, self.both + self.only_b)

    @property
    def f1(self) -> float | None:
        return _ratio(2 * self.both, 2 * self.both + self.only_a + self.only_b)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; None where both call everything the same, since chance would then agree as well."""
        share_a, share_b = self.share_a, self.share_b
        if share_a is None or share_b is None:
            return None
        chance = share_a * share_b + (1 - share_a) * (1 - share_b)
        observed = (self.both + self.neither) / self.known
        return None if chance == 1 else (observed - chance) / (1 - chance)

    def figures(self) -> dict[str, float | int | None]:
        """Counts and figures by name, rounded to six decimals."""
        names = ("precision", "recall", "f1", "kappa", "share_a", "share_b")
        values = {name: getattr(self, name) for name in names}
        rounded = {name: None if value is None else round(value, 6) for name, value in values.items()}
        return {**{name: getattr(self, name) for name in COUNTS}, **rounded}


def compare_tokens(a: Sequence[DocumentLabels], b: Sequence[DocumentLabels], tokens: Tokenized) -> np.ndarray:
    """COUNTS of every document's tokens: int64 [D, 5]. Raises LabelError for a span outside its text."""
    return _counts(a, b, tokens, np.ones(len(tokens.ids_T), dtype=np.int64))


def compare_bytes(a: Sequence[DocumentLabels], b: Sequence[DocumentLabels], sizes_D: Sequence[int]) -> np.ndarray:
    """COUNTS of every document's UTF-8 bytes: int64 [D, 5]. Raises LabelError for a span outside its text.

    Text is cut at every border of a span; no label changes inside such a piece, so each counts as one long token.
    """
    cuts = [_cuts(one, other, size) for one, other, size in zip(a, b, sizes_D, strict=True)]
    bytes_T = np.concatenate([np.zeros(0, np.int64), *(np.diff(cut) for cut in cuts)])
    bounds_D1 = np.concatenate([[0], np.cumsum([max(len(cut) - 1, 0) for cut in cuts])]).astype(np.int64)
    pieces = Tokenized(ids_T=np.zeros(len(bytes_T), np.int32), bytes_T=bytes_T, bounds_D1=bounds_D1, failed={})
    return _counts(a, b, pieces, bytes_T)


def _cuts(a: DocumentLabels, b: DocumentLabels, size: int) -> np.ndarray:
    edges = [part.ravel() for one in (a, b) for part in (one.spans_N2, one.unknown_M2)]
    cuts = np.unique(np.concatenate([[0, size], *edges]))
    return cuts[(cuts >= 0) & (cuts <= size)]  # what lies outside is named when the labels are laid on the pieces


def _counts(
    a: Sequence[DocumentLabels], b: Sequence[DocumentLabels], tokens: Tokenized, weight_T: np.ndarray
) -> np.ndarray:
    (value_a_T, known_a_T), (value_b_T, known_b_T) = token_targets(a, tokens), token_targets(b, tokens)
    kind_T = np.where(value_a_T >= FORGET, 0, 2) + np.where(value_b_T >= FORGET, 0, 1)  # both, a, b, neither
    kind_T = np.where(known_a_T & known_b_T, kind_T, len(COUNTS) - 1)
    documents = len(tokens.bounds_D1) - 1
    owner_T = np.repeat(np.arange(documents), np.diff(tokens.bounds_D1))
    flat = np.bincount(owner_T * len(COUNTS) + kind_T, weight_T, minlength=documents * len(COUNTS))
    return flat.reshape(documents, len(COUNTS)).astype(np.int64)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
