"""Documents that a classifier, a threshold or a baseline was made with: a report refuses them or leaves them out.

Documents are compared by the hash of their text, so another id, order or file name hides nothing. Near duplicates are
not found: keep them together when splitting.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tokensieve.pretrain.errors import LeakError
from tokensieve.pretrain.measuring.sets import Chunk
from tokensieve.udfs.reading.text_rows import text_hash


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Documents that were used before, by their content keys uint64 [K], and for what: "train on"."""

    what: str
    keys_K: np.ndarray


def content_keys(texts: Iterable[str]) -> np.ndarray:
    """The first 64 bits of each text's hash (`udfs.reading.text_rows.text_hash`): uint64 [D]."""
    return np.array([int(text_hash(text)[:16], 16) for text in texts], dtype=np.uint64)


def unseen(where: str, chunk: Chunk, seen: Iterable[Seen]) -> Chunk:
    """The documents that were not used before. Raises LeakError where the chunk's source refuses such documents."""
    for used in seen:
        used_D = np.isin(content_keys(chunk.documents.texts), used.keys_K)
        if used_D.any() and chunk.used_before == "refuse":
            ids = chunk.documents.ids
            raise LeakError(
                f"{where}: {int(used_D.sum())} of {len(ids)} documents were used to {used.what}, the first is "
                f"{ids[int(np.argmax(used_D))]}; figures on them would flatter the classifier: take these documents "
                "out of the evaluation set (used_before: leave_out), or calibrate on others"
            )
        chunk = chunk.without(used_D, f"used to {used.what}")
    return chunk
