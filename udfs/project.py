"""Carries forget spans over to another tokenizer: any token that touches a forgotten byte is forgotten.

Ties go to forgetting (arXiv 2601.21571, section on retokenization): precision is traded for recall at span borders.
"""

import numpy as np

from udfs.spans import Spans


def forgotten_tokens(bytes_T: np.ndarray, spans: Spans) -> np.ndarray:
    """Marks the tokens, bool [T], that overlap a span.

    Args: UTF-8 byte lengths of a batch's tokens, int [T], documents end to end; spans on the same axis of bytes.
    A token of no bytes shares a character with the token before it, and its fate.
    """
    end_T = np.cumsum(bytes_T, dtype=np.int64)
    start_T = end_T - bytes_T
    change_T1 = np.zeros(len(bytes_T) + 1, dtype=np.int64)
    np.add.at(change_T1, np.searchsorted(end_T, spans.start_N, side="right"), 1)
    np.add.at(change_T1, np.searchsorted(start_T, spans.end_N, side="left"), -1)
    forgotten_T = np.cumsum(change_T1[:-1]) > 0
    carrier_T = np.maximum.accumulate(np.where(bytes_T > 0, np.arange(len(bytes_T)), 0))
    return forgotten_T[carrier_T]
