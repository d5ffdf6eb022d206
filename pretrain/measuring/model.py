"""The classifier under measurement as one function of texts: tokens, grid scores, document scores.

A finished bundle is measured through the scorer that jobs run; a recipe's fresh heads, which have no bundle yet,
through the same windows and packs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tokensieve.pretrain.errors import ReportError
from tokensieve.udfs.bundles.bundle import Bundle
from tokensieve.udfs.scores.stored_scores import GRID_STEP, GRID_ZERO, quantize_logits
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

TokenScores = Callable[[Tokenized], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """D texts with T tokens: grid scores uint8 [T], document logits float64 [D], NaN for a text without tokens."""

    tokens: Tokenized
    levels_T: np.ndarray
    document_D: np.ndarray


Model = Callable[[Sequence[str]], Reading]


def bundle_model(bundle: Bundle, *, device: str, dtype: str, token_budget: int, threads: int) -> Model:
    """A bundle, read by the scorer of the jobs.

    Raises ReportError, when called, for a text on which the classifier gives NaN or infinity.
    """
    from tokensieve.udfs.scoring.scorer import Scorer, ScorerSettings

    scorer = Scorer(
        ScorerSettings(
            bundles=((bundle.spec.policy, str(bundle.path), bundle.bundle_id),),
            device=device,
            dtype=dtype,
            token_budget=token_budget,
            threads=threads,
        )
    )

    def read(texts: Sequence[str]) -> Reading:
        scored = scorer(texts)[bundle.spec.policy]
        if scored.broken_D.any():
            raise ReportError(
                f"{bundle.path}: the classifier gave NaN or infinity for {int(scored.broken_D.sum())} of "
                f"{len(texts)} texts, the first begins {texts[int(np.argmax(scored.broken_D))][:60]!r}"
            )
        return Reading(tokens=scored.tokens, levels_T=scored.scores_T, document_D=_logits(scored.document_score_D))

    return read


def heads_model(tokenizer: ByteTokenizer, heads: TokenScores) -> Model:
    """Heads without a bundle: `heads(tokens) -> [T, 2]`, token logits and the values whose mean is the document's."""

    def read(texts: Sequence[str]) -> Reading:
        tokens = tokenizer.encode(texts)
        values_TK = heads(tokens)
        document_D = segment_means(values_TK[:, 1:], tokens.bounds_D1)[:, 0]
        empty_D = np.diff(tokens.bounds_D1) == 0
        return Reading(
            tokens=tokens,
            levels_T=quantize_logits(values_TK[:, 0]),
            document_D=np.where(empty_D, np.nan, document_D),
        )

    return read


def document_levels(logits_D: np.ndarray) -> np.ndarray:
    """Document logits on the grid, rounded down: uint8 [D]; NaN becomes 0.

    Down, and not to the nearest: a rule compares a document's score as it is with the threshold, so a document counts
    as marked at a level exactly when its score reaches the level's probability.
    """
    steps_D = np.floor(np.nan_to_num(logits_D, nan=-np.inf) / GRID_STEP + 1e-4) + GRID_ZERO
    return np.clip(steps_D, 0, 255).astype(np.uint8)


def _logits(probability_D: np.ndarray) -> np.ndarray:
    """Logits float64 [D] of float32 probabilities; NaN stays."""
    with np.errstate(divide="ignore"):
        p_D = probability_D.astype(np.float64)
        return np.log(p_D) - np.log1p(-p_D)


def segment_means(values_TK: np.ndarray, bounds_D1: np.ndarray) -> np.ndarray:
    """Mean over each document's tokens: float64 [D, K]."""
    sums_T1K = np.concatenate([np.zeros((1, values_TK.shape[1])), np.cumsum(values_TK, axis=0, dtype=np.float64)])
    sums_DK = sums_T1K[bounds_D1[1:]] - sums_T1K[bounds_D1[:-1]]
    return sums_DK / np.maximum(np.diff(bounds_D1), 1)[:, None]
