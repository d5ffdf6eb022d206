"""The baseline to beat: one log-odds per word, and the teacher of soft targets.

A word's score is the same everywhere, which is what a context model has to improve on; averaging over neighbouring
words gives it a little context. Tokens are scored by the word that holds their last byte, others by 0.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tokensieve.udfs.labels.labels import LabelError
from tokensieve.udfs.tokenizing.tokenizer import Tokenized

COUNT_SCHEMA = pa.schema(
    [pa.field("word", pa.string()), pa.field("other", pa.int64()), pa.field("positive", pa.int64())]
)
_MOST_WORDS = 1_000_000  # different ones whose counts a partition holds
_WORD = re.compile(rb"[A-Za-z][A-Za-z'-]*[A-Za-z]|[A-Za-z]")


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """Log-odds of the positive class by lower-case word, both classes weighing the same; `smooth` in words.

    A word's score is the mean over the `smooth` words to each side and itself (0: the word alone).
    """

    log_odds: dict[bytes, float]
    smooth: int = 0

    def score(self, texts: Sequence[str], tokens: Tokenized) -> np.ndarray:
        """Scores [T] float32 of the texts' tokens, on the scale of a logit."""
        out_T = np.zeros(len(tokens.ids_T), dtype=np.float32)
        for d, text in enumerate(texts):
            part = slice(tokens.bounds_D1[d], tokens.bounds_D1[d + 1])
            last_T = np.cumsum(tokens.bytes_T[part]) - 1
            out_T[part] = self._score_one(text, last_T)
        return out_T

    def words(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The words of a text, int64 [N, 2] in UTF-8 bytes, and their scores, float32 [N]; 0 for an unknown word."""
        words = list(_WORD.finditer(text.encode("utf-8")))
        spans_N2 = np.array([word.span() for word in words], dtype=np.int64).reshape(-1, 2)
        score_N = np.array([self.log_odds.get(word.group().lower(), 0.0) for word in words], dtype=np.float32)
        return spans_N2, _window_mean(score_N, self.smooth)

    def _score_one(self, text: str, last_T: np.ndarray) -> np.ndarray:
        spans_N2, score_N = self.words(text)
        if not len(spans_N2):
            return np.zeros(len(last_T), dtype=np.float32)
        at_T = np.searchsorted(spans_N2[:, 0], last_T, side="right") - 1
        inside_T = (at_T >= 0) & (last_T < spans_N2[at_T, 1])
        if self.smooth:
            # Smoothed, the gaps between words have a context too.
            return score_N[np.maximum(at_T, 0)]
        return np.where(inside_T, score_N[at_T], 0)


def learn(texts: Sequence[str], positive_D: np.ndarray, alpha: float = 1.0) -> Lexicon:
    """Counts words in positive and other texts; `alpha` is added to every count."""
    counts: tuple[Counter[bytes], Counter[bytes]] = (Counter(), Counter())
    for text, positive in zip(texts, positive_D, strict=True):
        counts[int(positive)].update(find_words(text))
    words = list(counts[0].keys() | counts[1].keys())
    count_W2 = np.array([[count[word] for count in counts] for word in words], dtype=np.int64).reshape(-1, 2)
    odds_W = log_odds(count_W2, count_W2.sum(axis=0), len(words), alpha)
    return Lexicon(log_odds=dict(zip(words, odds_W.tolist())))


def find_words(text: str) -> list[bytes]:
    """The words of a text in lower case, as often as they stand there."""
    return _WORD.findall(text.encode("utf-8").lower())


def count_words(label_set: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Partial counts, COUNT_SCHEMA, of batches with doc_id, text, text_hash, label (0..1) and label_hash.

    A partition's counts are given out when they pass a million different words, so memory is bounded.
    Raises LabelError for a document whose label is about another text.
    """
    counts: tuple[Counter[bytes], Counter[bytes]] = (Counter(), Counter())
    for batch in batches:
        for row in batch.to_pylist():
            if row["text_hash"] != row["label_hash"]:
                raise LabelError(
                    f"label set {label_set}, document {row['doc_id']}: its label is about another text (text_hash "
                    f"{row['label_hash']}, the text has {row['text_hash']}); label the source again"
                )
            counts[row["label"] >= 0.5].update(find_words(row["text"]))
        if len(counts[0]) + len(counts[1]) > _MOST_WORDS:
            yield _as_rows(counts)
            counts = (Counter(), Counter())
    yield _as_rows(counts)


def _as_rows(counts: tuple[Counter[bytes], Counter[bytes]]) -> pa.RecordBatch:
    words = sorted(counts[0].keys() | counts[1].keys())
    return pa.RecordBatch.from_arrays(
        [
            pa.array([word.decode("ascii") for word in words], pa.string()),
            *(pa.array([count[word] for word in words], pa.int64()) for count in counts),
        ],
        schema=COUNT_SCHEMA,
    )


def log_odds(count_W2: np.ndarray, total_2: np.ndarray, vocabulary: int, alpha: float) -> np.ndarray:
    """Log-odds of W words, float64 [W], as if both classes had as many words.

    Args: the words' counts in other and in positive texts, the two classes' counts of all words, the number of
    different words (W or more: rare ones may be left out here, but count in the totals), what is added to a count.
    """
    share_W2 = (count_W2 + alpha) / (np.asarray(total_2) + alpha * vocabulary)
    return np.log(share_W2[:, 1]) - np.log(share_W2[:, 0])


def _window_mean(values_N: np.ndarray, reach: int) -> np.ndarray:
    if not reach:
        return values_N
    sums_N1 = np.concatenate([[0.0], np.cumsum(values_N, dtype=np.float64)])
    at_N = np.arange(len(values_N))
    low_N, high_N = np.maximum(at_N - reach, 0), np.minimum(at_N + reach + 1, len(values_N))
    return ((sums_N1[high_N] - sums_N1[low_N]) / (high_N - low_N)).astype(np.float32)
