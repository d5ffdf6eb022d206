"""Refuses to report on documents that a threshold was chosen on, or a baseline learned from.

Documents are compared by the hash of their text, so another id, order or file name hides nothing. Near duplicates are
not found: keep them together when splitting.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from pretrain.classifier.report.errors import LeakError
from udfs.text_rows import text_hash


def content_keys(texts: Iterable[str]) -> np.ndarray:
    """The first 64 bits of each text's hash (`udfs.text_rows.text_hash`): uint64 [D]."""
    return np.array([int(text_hash(text)[:16], 16) for text in texts], dtype=np.uint64)


def check_unseen(where: str, ids: Sequence[str], texts: Sequence[str], used_K: np.ndarray, what: str) -> None:
    """Raises LeakError when a text's key is among the keys uint64 [K] of documents used for `what`."""
    seen_D = np.isin(content_keys(texts), used_K)
    if seen_D.any():
        raise LeakError(
            f"{where}: {int(seen_D.sum())} of {len(ids)} documents were used to {what}, the first is "
            f"{ids[int(np.argmax(seen_D))]}; figures on them would flatter the classifier: take these documents out "
            "of the evaluation set, or calibrate on others"
        )
