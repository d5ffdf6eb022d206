"""From a filter's settings to a level of the score companion, and how many tokens it leaves.

Works on the manifest's counts per level, so a plan over a corpus of any size costs nothing.
"""

import numpy as np

from pretrain.errors import DatasetError
from pretrain.samples.corpus import Corpus
from pretrain.samples.filter_config import FilterConfig
from pretrain.shards.manifest import ShardInfo
from udfs.scores import grid_threshold


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
