"""Turns training documents into pools of tokens with soft targets, which `splice` draws its rows from.

A medical document's function words are no more medical than anybody's, so a target mixes the document's label with the
word's own evidence. That makes targets follow single terms inside a passage; the price is that the lexicon's mistakes
are taught too, which is why the mix leaves each its share.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pretrain.classifier.apply import batches
from pretrain.classifier.labels import Documents
from pretrain.classifier.splice import Pool, Pools
from udfs.lexicon import Lexicon
from udfs.tokenizer import ByteTokenizer, Tokenized


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
    """Pools of the positive documents, those of the near domain, and all others.

    Where the corpus has no document of the near domain (or of none else), the two negative pools are the same.

    Raises:
        ValueError: there is no positive or no negative document.
    """
    near_D = np.array([domain == near_domain for domain in documents.domains]) & ~documents.positive_D
    far_D = ~near_D & ~documents.positive_D
    if not documents.positive_D.any() or documents.positive_D.all():
        raise ValueError(f"training needs both classes; {documents.positive_D.sum()} of {len(documents)} are positive")
    ends_V = _sentence_ends(tokenizer)

    def pool(mask_D: np.ndarray, positive: bool) -> Pool:
        return _pool(documents.where(mask_D).texts, positive, tokenizer, lexicon, config, ends_V)

    positive = pool(documents.positive_D, True)
    near = pool(near_D, False) if near_D.any() else pool(far_D, False)
    far = pool(far_D, False) if far_D.any() else near
    return Pools(positive=positive, near=near, far=far)


def _pool(
    texts: Sequence[str],
    positive: bool,
    tokenizer: ByteTokenizer,
    lexicon: Lexicon,
    config: TargetConfig,
    ends_V: np.ndarray,
) -> Pool:
    parts: list[Tokenized] = []
    targets: list[np.ndarray] = []
    for some, tokens in batches(tokenizer, texts):
        parts.append(tokens)
        targets.append(config.targets(lexicon.score(some, tokens), positive))
    ids_T = np.concatenate([part.ids_T for part in parts])
    lengths_D = np.concatenate([np.diff(part.bounds_D1) for part in parts])
    bounds_D1 = np.concatenate([[0], np.cumsum(lengths_D)])
    after_end_S = np.flatnonzero(ends_V[ids_T[:-1]]) + 1
    return Pool(
        ids_T=ids_T,
        targets_T=np.concatenate(targets),
        starts_S=np.union1d(after_end_S, bounds_D1[:-1]),
        bounds_D1=bounds_D1,
    )


def _sentence_ends(tokenizer: ByteTokenizer) -> np.ndarray:
    """bool [V]: the token ends a sentence or a line."""
    literals = [tokenizer.decode([token]) for token in range(tokenizer.vocab_size)]
    return np.array([literal.endswith((".", "?", "!")) or "\n" in literal for literal in literals])
