"""Carries stored scores over to another tokenizer: a token takes the highest score that shares a byte with it.

So a threshold on the carried scores marks exactly the tokens that the spans of that threshold alone would mark
(`udfs.project.forgotten_tokens`): one export serves every threshold.
"""

import numpy as np

from udfs.project import carriers
from udfs.rule import PolicyScores


def highest_scores(bytes_T: np.ndarray, bounds_D1: np.ndarray, scores: PolicyScores) -> np.ndarray:
    """The highest grid score, uint8 [T], of the classifier tokens that share a byte with each token.

    Args: UTF-8 byte lengths of a batch's T tokens and the documents' bounds in tokens, int64 [D + 1]; the classifier's
    scores of the same documents. A token of no bytes has the score of its `carriers` token, 0 where there is none; a
    classifier token of no bytes counts for nothing.
    Raises ValueError when the two are not of the same bytes; names the first document.
    """
    end_T, end_C = (np.cumsum(lengths, dtype=np.int64) for lengths in (bytes_T, scores.bytes_T))
    _check_bytes(np.concatenate([[0], end_T])[bounds_D1], np.concatenate([[0], end_C])[scores.bounds_D1])
    solid_C = np.flatnonzero(scores.bytes_T)
    if not len(solid_C):
        return np.zeros(len(bytes_T), dtype=np.uint8)
    end_S = end_C[solid_C]
    first_T = np.searchsorted(end_S, end_T - bytes_T, side="right")
    last_T = np.searchsorted(end_S, end_T, side="left")
    # One more element, so that a pair of positions may begin past the last one; only pairs' first results are kept.
    score_S = np.append(scores.scores_T[solid_C], np.uint8(0))
    pairs_T2 = np.stack([np.minimum(first_T, len(end_S)), np.minimum(last_T + 1, len(end_S))], axis=1)
    highest_T = np.maximum.reduceat(score_S, pairs_T2.ravel())[::2] if len(bytes_T) else np.zeros(0, np.uint8)
    highest_T = np.where(np.asarray(bytes_T) > 0, highest_T, np.uint8(0))
    return highest_T[carriers(bytes_T, bounds_D1)]


def _check_bytes(found_D1: np.ndarray, scored_D1: np.ndarray) -> None:
    if not np.array_equal(found_D1, scored_D1):
        wrong_D = np.diff(found_D1) != np.diff(scored_D1)
        d = int(np.argmax(wrong_D))
        raise ValueError(
            f"document {d} of the batch has {np.diff(found_D1)[d]} bytes, its scores are of {np.diff(scored_D1)[d]}"
        )
