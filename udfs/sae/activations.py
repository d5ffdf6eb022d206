"""The latents that fire in a batch of texts, as a sparse list: most latents are silent on most tokens."""

from dataclasses import dataclass

import numpy as np

from tokensieve.udfs.tokenizing.tokenizer import Tokenized


@dataclass(frozen=True, kw_only=True)
class Activations:
    """The N firings (activations above 0) in a batch of D texts with T tokens, ordered by token, then latent.

    Attributes:
        tokens: of the texts; failed ones have none.
        position_N: int64 places on the token axis; column_N: int32 indices into the kept latents; value_N: float32.
        special_T: bool, tokens that stand for no text (BOS, EOS, padding).
        failed: texts without activations, and why.
    """

    tokens: Tokenized
    position_N: np.ndarray
    column_N: np.ndarray
    value_N: np.ndarray
    special_T: np.ndarray
    failed: dict[int, str]
