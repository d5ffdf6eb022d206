"""The baseline to beat: one log-odds per word, and the teacher of soft targets.

A word's score is the same everywhere, which is what a context model has to improve on; averaging over neighbouring
words gives it a little context. Tokens are scored by the word that holds their last byte, others by 0.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from udfs.tokenizer import Tokenized

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
            out_T[part] = self._score_one(text.encode("utf-8"), last_T)
        return out_T

    def _score_one(self, data: bytes, last_T: np.ndarray) -> np.ndarray:
        words = list(_WORD.finditer(data))
        if not words:
            return np.zeros(len(last_T), dtype=np.float32)
        spans_N2 = np.array([word.span() for word in words])
        score_N = np.array([self.log_odds.get(word.group().lower(), 0.0) for word in words], dtype=np.float32)
        score_N = _window_mean(score_N, self.smooth)
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
        counts[int(positive)].update(_WORD.findall(text.encode("utf-8").lower()))
    words = counts[0].keys() | counts[1].keys()
    totals = [sum(count.values()) + alpha * len(words) for count in counts]
    scale = totals[0] / totals[1]
    return Lexicon(log_odds={w: float(np.log((counts[1][w] + alpha) / (counts[0][w] + alpha) * scale)) for w in words})


def _window_mean(values_N: np.ndarray, reach: int) -> np.ndarray:
    if not reach:
        return values_N
    sums_N1 = np.concatenate([[0.0], np.cumsum(values_N, dtype=np.float64)])
    at_N = np.arange(len(values_N))
    low_N, high_N = np.maximum(at_N - reach, 0), np.minimum(at_N + reach + 1, len(values_N))
    return ((sums_N1[high_N] - sums_N1[low_N]) / (high_N - low_N)).astype(np.float32)
