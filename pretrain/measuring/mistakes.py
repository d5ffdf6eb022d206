"""The passages in which a classifier is most wrong, kept while documents stream by: a few of each kind.

A mistake weighs how far its probability is on the wrong side, so a passage of sure mistakes comes before a longer one
of near misses. One passage a document and kind, so that one bad document does not fill the page. With coarse labels a
"mistake" may be the label's: that is what a reader is to find out.
"""

import heapq
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tokensieve.pretrain.labelled.labels import Documents
from tokensieve.pretrain.measuring.model import Reading
from tokensieve.pretrain.measuring.schema import Mistake, Piece
from tokensieve.udfs.scores.stored_scores import probabilities

PASSAGE = 160  # tokens
Kind = Literal["false_forget", "missed_forget"]


@dataclass(frozen=True, kw_only=True)
class _Document:
    """One document's tokens: texts of the tokens, probabilities, labels, whether they are known, which are marked."""

    bytes_T: np.ndarray
    probability_T: np.ndarray
    forget_T: np.ndarray
    known_T: np.ndarray
    marked_T: np.ndarray

    def wrong(self, kind: Kind) -> np.ndarray:
        """bool [T]: the tokens that are wrong in this way."""
        if kind == "false_forget":
            return self.known_T & self.marked_T & ~self.forget_T
        return self.known_T & ~self.marked_T & self.forget_T


@dataclass(kw_only=True)
class Mistakes:
    """The worst `limit` passages of each kind under the rule `grid score >= level`."""

    level: int
    limit: int
    _worst: dict[Kind, list[tuple[float, int, Mistake]]] = field(
        default_factory=lambda: {"false_forget": [], "missed_forget": []}
    )
    _count: int = 0

    def add(self, documents: Documents, reading: Reading, forget_T: np.ndarray, known_T: np.ndarray) -> None:
        """Looks at a few more documents; `forget_T` and `known_T` are their tokens' labels."""
        if not self.limit:
            return
        probability_T, marked_T = probabilities(reading.levels_T), reading.levels_T >= self.level
        bounds = reading.tokens.bounds_D1.tolist()
        for d, (first, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            part = slice(first, end)
            one = _Document(
                bytes_T=reading.tokens.bytes_T[part],
                probability_T=probability_T[part],
                forget_T=forget_T[part],
                known_T=known_T[part],
                marked_T=marked_T[part],
            )
            for kind in self._worst:
                self._offer(kind, documents, d, one, float(reading.document_D[d]))

    def worst(self) -> list[Mistake]:
        """The passages, those of each kind from the worst on."""
        return [entry[2] for kind in self._worst for entry in sorted(self._worst[kind], reverse=True)]

    def _offer(self, kind: Kind, documents: Documents, d: int, one: _Document, document_logit: float) -> None:
        wrong_T = one.wrong(kind)
        if not wrong_T.any():
            return
        away_T = one.probability_T if kind == "false_forget" else 1 - one.probability_T
        first, weight = _heaviest(np.where(wrong_T, away_T, 0))
        heap = self._worst[kind]
        if len(heap) == self.limit and weight <= heap[0][0]:
            return
        end = min(first + PASSAGE, len(wrong_T))
        found = Mistake(
            kind=kind,
            doc_id=documents.ids[d],
            source=documents.sources[d],
            domain=documents.domains[d],
            document_probability=round(1 / (1 + float(np.exp(-document_logit))), 4),
            wrong=int(wrong_T[first:end].sum()),
            first_token=first,
            tokens=len(wrong_T),
            pieces=_pieces(documents.texts[d], one, first, end),
        )
        self._count += 1  # settles ties: the earlier document stays
        entry = (weight, -self._count, found)
        (heapq.heappush if len(heap) < self.limit else heapq.heapreplace)(heap, entry)


def _heaviest(weight_T: np.ndarray) -> tuple[int, float]:
    """The first token and the weight of the heaviest stretch of PASSAGE tokens, the first of several."""
    sums_T1 = np.concatenate([[0.0], np.cumsum(weight_T, dtype=np.float64)])
    width = min(PASSAGE, len(weight_T))
    sums_S = sums_T1[width:] - sums_T1[:-width]
    first = int(np.argmax(sums_S >= sums_S.max() - 1e-9))
    return first, float(sums_S[first])


def _pieces(text: str, one: _Document, first: int, end: int) -> list[Piece]:
    """The tokens from `first` to `end`; a character belongs to the token that holds its first byte."""
    raw = text.encode()
    ends_T1 = np.concatenate([[0], np.cumsum(one.bytes_T)])
    starts_C1 = np.append(np.flatnonzero((np.frombuffer(raw, dtype=np.uint8) & 0xC0) != 0x80), len(raw))
    cuts = starts_C1[np.searchsorted(starts_C1, ends_T1[first : end + 1])].tolist()
    false_T, missed_T = one.wrong("false_forget"), one.wrong("missed_forget")
    pieces = []
    for at, (a, b) in enumerate(zip(cuts[:-1], cuts[1:], strict=True), start=first):
        if a == b:
            continue
        if not one.known_T[at]:
            kind = "unknown"
        elif false_T[at] or missed_T[at]:
            kind = "false_forget" if false_T[at] else "missed_forget"
        else:
            kind = "right_forget" if one.forget_T[at] else "right_retain"
        pieces.append(Piece(text=raw[a:b].decode(), probability=round(float(one.probability_T[at]), 4), kind=kind))
    return pieces
