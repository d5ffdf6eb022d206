"""Initial token embeddings from which documents a token occurs in: latent semantic analysis (Deerwester et al., 1990).

Tokens of the same topics start close to each other, so a few million training tokens are spent on context and not on
learning the vocabulary one rare word at a time. Dense: it holds D x V floats in memory; meant for small corpora.
"""

from collections.abc import Sequence

import numpy as np

from pretrain.classifier.joint.splice import Pool

_POWER_STEPS = 3
_SCALE = 0.1  # standard deviation of the entries: of the size that training gives an embedding


def topic_embedding(pools: Sequence[Pool], vocabulary: int, dim: int, seed: int) -> np.ndarray:
    """Embeddings float32 [V, dim] from the documents of the pools.

    Weights are log(1 + count) times inverse document frequency, a document has length 1, and the factors come from a
    randomised range finder (Halko et al., 2011). Tokens that occur nowhere, and the dimensions that a small corpus
    cannot fill, get small random values.
    """
    rng = np.random.default_rng(seed)
    weights_DV = _weights(pools, vocabulary)
    rank = min(dim, *weights_DV.shape)
    basis_VK, _ = np.linalg.qr(weights_DV.T @ rng.standard_normal((len(weights_DV), rank), dtype=np.float32))
    for _ in range(_POWER_STEPS):
        basis_VK, _ = np.linalg.qr(weights_DV.T @ (weights_DV @ basis_VK))
    _, size_K, turn_KK = np.linalg.svd(weights_DV @ basis_VK, full_matrices=False)
    topics_VK = (basis_VK @ turn_KK.T) * np.sqrt(size_K)
    norms_V = np.linalg.norm(topics_VK, axis=1)
    # A rare token's direction is mostly chance: it is kept short, a frequent one's length is made the same for all.
    topics_VK /= np.sqrt(norms_V**2 + np.median(norms_V[norms_V > 0]) ** 2)[:, None]
    embedding_VD = rng.standard_normal((vocabulary, dim), dtype=np.float32) * np.float32(0.1 * _SCALE)
    embedding_VD[:, : topics_VK.shape[1]] += topics_VK * (_SCALE / topics_VK.std())
    return embedding_VD


def _weights(pools: Sequence[Pool], vocabulary: int) -> np.ndarray:
    parts = [pool.ids_T[a:b] for pool in pools for a, b in zip(pool.bounds_D1[:-1], pool.bounds_D1[1:], strict=True)]
    counts_DV = np.zeros((len(parts), vocabulary), dtype=np.float32)
    for d, ids in enumerate(parts):
        counts_DV[d] = np.bincount(ids, minlength=vocabulary)
    rarity_V = np.log((1 + len(parts)) / (1 + (counts_DV > 0).sum(axis=0)))
    weights_DV = np.log1p(counts_DV, out=counts_DV)
    weights_DV *= rarity_V.astype(np.float32)
    weights_DV /= np.maximum(np.linalg.norm(weights_DV, axis=1, keepdims=True), 1e-6)
    return weights_DV
