"""Label noise: the filter's decisions flipped at stated rates, the same flips for a document wherever it lies.

One draw per token, a hash of document id, place in the document and seed: input and label of a token agree, another run
or another shard order changes nothing. Source: arXiv 2601.21571, robustness to label noise.
"""

from pathlib import Path

import numpy as np

from pretrain.hashing import below, id_hashes, mixed, salt
from pretrain.samples.documents import read_index
from pretrain.samples.filter_config import LabelNoise


def document_keys(prefix: Path) -> np.ndarray:
    """A hash of every document's id, uint64 [D], from the index beside a shard. Raises DatasetError without it."""
    return id_hashes(read_index(prefix, ["doc_id"])["doc_id"])


def flipped(
    noise: LabelNoise, keep_T: np.ndarray, keys_T: np.ndarray, at_T: np.ndarray, *, fixed_T: np.ndarray
) -> np.ndarray:
    """Decisions uint8 [T] (1 = keep) after the flips.

    Args: decisions before; per token its document's key (uint64), its place in the document, and whether it must stay
    as it is (end of document).
    """
    draws_T = mixed(mixed(keys_T ^ salt(noise.seed)) + at_T.astype(np.uint64))
    flips_T = np.where(keep_T == 0, below(draws_T, noise.miss), below(draws_T, noise.false_alarm))
    return keep_T ^ (flips_T & ~fixed_T).astype(np.uint8)
