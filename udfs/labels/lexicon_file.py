"""A learned lexicon as one JSON file, named by its content, and the labeller that goes by it.

JSON and four decimals: people read these files, the same counts give the same bytes, and executors read one once a
worker. Words at or above a threshold, and short gaps between them, become forget spans. A word has one label wherever
it stands, which is what these labels are weak in. A text of which the lexicon knows no word is unknown.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from tokensieve.udfs.labels.labels import DocumentLabels, LabelError, unknown
from tokensieve.udfs.labels.lexicon import Lexicon
from tokensieve.udfs.spans.intervals import Spans, bridge

# Thresholds that a target share can choose from: 0.1, 0.2, .. 12. Not 0, the score of words that nobody counted.
LEVELS_L = (np.arange(1, 121) / 10).astype(np.float32)
SHARE_SCHEMA = pa.schema([pa.field("level", pa.int32()), pa.field("forget", pa.int64()), pa.field("total", pa.int64())])


class StoredLexicon(BaseModel):
    """The content of the file: which policy it is for, what it was learned from, and the log-odds by word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["tokensieve-lexicon/1"] = "tokensieve-lexicon/1"
    policy: str
    definition_id: str
    """The policy's hash."""
    label_set: str
    label_batch: str
    """The label set that the documents' labels came from, and the name of its content."""
    forget_documents: int
    retain_documents: int
    alpha: float
    min_count: int
    log_odds: dict[str, float]
    """By lower-case word, rounded to four decimals."""

    def content(self) -> bytes:
        """The file's bytes: the same for the same content."""
        ordered = self.model_copy(update={"log_odds": dict(sorted(self.log_odds.items()))})
        return ordered.model_dump_json(indent=1).encode()

    @property
    def lexicon_id(self) -> str:
        """16 hex digits of the SHA-256 of the file."""
        return hashlib.sha256(self.content()).hexdigest()[:16]


def read_lexicon(path: str, lexicon_id: str | None = None) -> StoredLexicon:
    """Reads a lexicon. Raises LabelError: no such file, no lexicon, or another content than `lexicon_id` names."""
    try:
        stored = StoredLexicon.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise LabelError(f"lexicon {path} cannot be read: {error}; every node must see this path") from error
    except ValidationError as error:
        raise LabelError(f"{path} is no tokensieve-lexicon/1: {error.errors()[0]['msg']}; learn it again") from error
    if lexicon_id is not None and stored.lexicon_id != lexicon_id:
        raise LabelError(f"lexicon {path} has the content {stored.lexicon_id}, not {lexicon_id}; learn it again")
    return stored


@lru_cache(maxsize=4)
def words_of(path: str, lexicon_id: str, smooth: int) -> Lexicon:
    """The lexicon for scoring, held by the process."""
    stored = read_lexicon(path, lexicon_id)
    return Lexicon(log_odds={word.encode(): odds for word, odds in stored.log_odds.items()}, smooth=smooth)


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
        """For `udfs.labels.labels.label_rows`."""
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
