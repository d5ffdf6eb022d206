"""What a filter forgets of a corpus: the level of the score companion, how many tokens it leaves, and label noise.

The level follows from the manifest's counts, so a plan over a corpus of any size costs nothing. Label noise flips the
filter's decisions at stated rates (arXiv 2601.21571, robustness to label noise): one draw per token, a hash of document
id, place in the document and seed, so that input and label of a token agree, and another run or another shard order
changes nothing.
"""

from pathlib import Path

import numpy as np

from tokensieve.pretrain.errors import DatasetError
from tokensieve.pretrain.hashing import below, id_hashes, mixed, salt
from tokensieve.pretrain.samples.corpus import Corpus
from tokensieve.pretrain.samples.documents import read_index
from tokensieve.pretrain.samples.filter_config import FilterConfig, LabelNoise
from tokensieve.pretrain.shards.shard_info import ShardInfo
from tokensieve.udfs.scores.stored_scores import grid_threshold


def score_level(settings: FilterConfig, corpus: Corpus) -> int | None:
    """The smallest grid value that is forgotten; None where the exported mask decides.

    A share is met as nearly as 256 levels can. Raises DatasetError where a shard set has no scores.
    """
    if not settings.uses_scores or settings.mode == "none":
        return None
    for place, manifest in corpus.manifests:
        if manifest.inputs.scores is None:
            raise DatasetError(f"{place}: exported without scores; set export.scores to a policy and export again")
    if settings.threshold is not None:
        return grid_threshold(settings.threshold)
    counts_L = sum(
        np.array(shard.score_counts or [0] * 256)
        for _, manifest in corpus.manifests
        for shard in manifest.shards_of("train")
    )
    at_least_L = np.cumsum(np.asarray(counts_L)[::-1])[::-1]  # tokens with a score of this level or above
    shares_L = np.append(at_least_L / max(int(at_least_L[0]), 1), 0.0)
    assert settings.forget_share is not None
    return int(np.argmin(np.abs(shares_L - settings.forget_share)))


def loss_tokens(shard: ShardInfo, settings: FilterConfig, level: int | None) -> float:
    """Tokens of a shard that are expected to bear loss under a filter; label noise makes it an expectation."""
    if settings.mode == "none":
        return float(shard.tokens)
    if level is None:
        keep = shard.loss_tokens
    else:
        keep = sum((shard.score_counts or ())[:level])
    if settings.noise is None:
        return float(keep)
    fixed = shard.documents  # an end of document is never flipped
    flipped = (keep - fixed) * (1 - settings.noise.false_alarm) + (shard.tokens - keep) * settings.noise.miss
    return fixed + flipped


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
