"""Labels texts by a lexicon: words at or above a threshold, and short gaps between them, become forget spans.

A word has one label wherever it stands, which is what these labels are weak in. A text of which the lexicon knows no
word is unknown.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from udfs.labels import DocumentLabels, unknown
from udfs.lexicon_file import words_of
from udfs.spans import Spans, bridge

# Thresholds that a target share can choose from: 0.1, 0.2, .. 12. Not 0, the score of words that nobody counted.
LEVELS_L = (np.arange(1, 121) / 10).astype(np.float32)
SHARE_SCHEMA = pa.schema([pa.field("level", pa.int32()), pa.field("forget", pa.int64()), pa.field("total", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class LexiconLabeller:
    """What a task needs; the lexicon itself is read from its file, which every node must see.

    Attributes:
        threshold: log-odds from which on a word is labelled. bridge: bytes of a gap between two such words that is
        labelled too (1 joins neighbours). smooth: as in `Lexicon`.
    """

    path: str
    lexicon_id: str
    smooth: int
    bridge: int
    threshold: float

    def label(self, texts: Sequence[str]) -> list[DocumentLabels]:
        """For `udfs.labels.label_rows`."""
        return [self._label_one(text) for text in texts]

    def _label_one(self, text: str) -> DocumentLabels:
        words_N2, score_N = words_of(self.path, self.lexicon_id, self.smooth).words(text)
        if not score_N.any():
            return unknown(text, "no_words: the lexicon knows no word of this text")
        return DocumentLabels(spans_N2=_spans(words_N2[score_N >= self.threshold], self.bridge))

    def shares(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Labelled and total bytes of batches with `text`, at each of LEVELS_L: SHARE_SCHEMA, one row a level."""
        forget_L, total = np.zeros(len(LEVELS_L), dtype=np.int64), 0
        lexicon = words_of(self.path, self.lexicon_id, self.smooth)
        for batch in batches:
            for text in batch.column("text").to_pylist():
                words_N2, score_N = lexicon.words(text)
                total += len(text.encode())
                for level in np.flatnonzero(score_N.max(initial=0) >= LEVELS_L):
                    spans_N2 = _spans(words_N2[score_N >= LEVELS_L[level]], self.bridge)
                    forget_L[level] += np.diff(spans_N2).sum()
        levels = np.arange(len(LEVELS_L))
        yield pa.RecordBatch.from_arrays(
            [pa.array(levels, pa.int32()), pa.array(forget_L), pa.array([total] * len(levels), pa.int64())],
            schema=SHARE_SCHEMA,
        )


def _spans(words_N2: np.ndarray, gap: int) -> np.ndarray:
    """Words of one text, joined over gaps of at most so many bytes: int64 [M, 2]."""
    whole = np.array([0, words_N2.max(initial=0) + 1])
    joined = bridge(Spans(start_N=words_N2[:, 0], end_N=words_N2[:, 1]), gap, whole)
    return np.stack([joined.start_N, joined.end_N], axis=1)
