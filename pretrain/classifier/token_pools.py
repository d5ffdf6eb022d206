"""Training documents as pools of tokens with soft targets, from which rows are spliced, and first embeddings from them.

Where a document has only its coarse label, its function words are no more medical than anybody's, so a target mixes
that label with the word's own evidence. That makes targets follow single terms inside a passage; the price is that the
lexicon's mistakes are taught too, which is why the mix leaves each its share. Token labels are taken as they are.

A token's first embedding says in which documents it occurs: latent semantic analysis (Deerwester et al., 1990). Tokens
of the same topics start close to each other, so a few million training tokens are spent on context and not on learning
the vocabulary one rare word at a time. Dense: it holds D x V floats in memory; meant for small corpora.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tokensieve.pretrain.classifier.apply import batches
from tokensieve.pretrain.classifier.spliced_rows import Pool, Pools
from tokensieve.pretrain.errors import FitError
from tokensieve.pretrain.labelled.labels import Documents, targets
from tokensieve.udfs.labels.lexicon import Lexicon
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

_POWER_STEPS = 3
_SCALE = 0.1  # standard deviation of the entries: of the size that training gives an embedding


class TargetConfig(BaseModel):
    """Soft targets from label and lexicon probability p.

    A token of a positive document has the target `floor + (1 - floor) * p`; one of another document
    `spill * max(0, 2 * p - 1)`. floor 1 and spill 0 give the plain labels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    floor: float = Field(default=0.5, ge=0, le=1)
    spill: float = Field(default=0.0, ge=0, le=1)

    def targets(self, log_odds_T: np.ndarray, positive: bool) -> np.ndarray:
        """Targets float32 [T] of the tokens of one document."""
        p_T = 1 / (1 + np.exp(-log_odds_T))
        mixed_T = self.floor + (1 - self.floor) * p_T if positive else self.spill * np.maximum(0, 2 * p_T - 1)
        return mixed_T.astype(np.float32)


def build_pools(
    documents: Documents, near_domain: str, tokenizer: ByteTokenizer, lexicon: Lexicon, config: TargetConfig
) -> Pools:
    """Pools of forbidden pieces, of others from the near domain, and of all others.

    From coarse labels these are pools of documents. With token labels a piece is drawn at a forbidden token for the
    first, at another known token of a document (near domain or not) for the other two. Where the corpus has nothing of
    the near domain (or of none else), the two negative pools are the same.

    Raises:
        FitError: there is nothing forbidden, or nothing else.
    """
    near_D = np.array([domain == near_domain for domain in documents.domains], dtype=bool)
    if documents.labels is not None:
        return _anchored(documents, near_D, tokenizer)
    positive_D = documents.positive_D
    if not positive_D.any() or positive_D.all():
        raise FitError(f"training needs both classes; {positive_D.sum()} of {len(documents)} documents are positive")

    def pool(mask_D: np.ndarray) -> Pool | None:
        some = documents.where(mask_D)
        return _pool(some, tokenizer, lexicon, config) if len(some) else None

    near, far = pool(near_D & ~positive_D), pool(~near_D & ~positive_D)
    positive, others = pool(positive_D), near or far
    assert positive is not None
    assert others is not None
    return Pools(positive=positive, near=near or others, far=far or others)


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


def _anchored(documents: Documents, near_D: np.ndarray, tokenizer: ByteTokenizer) -> Pools:
    """Pools over the same tokens, told apart by where pieces are drawn."""
    whole = _pool(documents, tokenizer, None, None)
    positive_T = whole.known_T & (whole.targets_T >= 0.5)
    negative_T = whole.known_T & ~positive_T
    if not positive_T.any() or not negative_T.any():
        raise FitError(
            f"training needs both classes; {positive_T.sum()} of {whole.known_T.sum()} known tokens are forbidden"
        )
    near_T = np.repeat(near_D, np.diff(whole.bounds_D1))

    def at(mask_T: np.ndarray) -> Pool | None:
        return replace(whole, anchors_A=np.flatnonzero(mask_T)) if mask_T.any() else None

    near, far, positive = at(negative_T & near_T), at(negative_T & ~near_T), at(positive_T)
    others = near or far
    assert positive is not None
    assert others is not None
    return Pools(positive=positive, near=near or others, far=far or others)


def _pool(documents: Documents, tokenizer: ByteTokenizer, lexicon: Lexicon | None, config: TargetConfig | None) -> Pool:
    """All tokens of the documents; with a lexicon their targets are mixed from it and the documents' one label."""
    parts: list[Tokenized] = []
    values: list[np.ndarray] = []
    known: list[np.ndarray] = []
    first = 0
    for some, tokens in batches(tokenizer, documents.texts):
        value_T, known_T = targets(documents, tokens, first)
        if lexicon is not None and config is not None:
            value_T = config.targets(lexicon.score(some, tokens), bool(documents.positive_D[first]))
        parts.append(tokens)
        values.append(value_T)
        known.append(known_T)
        first += len(some)
    ids_T = np.concatenate([part.ids_T for part in parts])
    lengths_D = np.concatenate([np.diff(part.bounds_D1) for part in parts])
    bounds_D1 = np.concatenate([[0], np.cumsum(lengths_D)])
    ends_V = _sentence_ends(tokenizer)
    after_end_S = np.flatnonzero(ends_V[ids_T[:-1]]) + 1
    return Pool(
        ids_T=ids_T,
        targets_T=np.concatenate(values),
        known_T=np.concatenate(known),
        starts_S=np.union1d(after_end_S, bounds_D1[:-1]),
        bounds_D1=bounds_D1,
        anchors_A=np.arange(len(ids_T)),
    )


def _sentence_ends(tokenizer: ByteTokenizer) -> np.ndarray:
    """bool [V]: the token ends a sentence or a line."""
    literals = [tokenizer.decode([token]) for token in range(tokenizer.vocab_size)]
    return np.array([literal.endswith((".", "?", "!")) or "\n" in literal for literal in literals])


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
