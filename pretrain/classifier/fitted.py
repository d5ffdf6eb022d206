"""What every method of a recipe hands over: an encoder, heads on it, and how they were chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tokensieve.pretrain.classifier.apply import Walk, token_values
from tokensieve.pretrain.classifier.logistic_head import fit_document_head
from tokensieve.pretrain.classifier.mlp_head import ACTIVATION
from tokensieve.udfs.bundles.bundle_spec import HeadSpecs, LinearHead, MlpHead, Trial
from tokensieve.udfs.bundles.heads import Heads
from tokensieve.udfs.tokenizing.tokenizer import ByteTokenizer, Tokenized

Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A classifier before it is a bundle.

    Attributes:
        encoder: frozen, its weights rounded as a bundle stores them.
        config: what `udfs.encoders.encoder.build` makes it from.
        name: where the encoder came from.
        walk: the windows that features were read in, which scoring must use too.
        heads: token and document heads on raw features, float32, by the names that `udfs.bundles.bundle.save` takes.
        chosen, trials: the chosen setting and all that were tried; None and empty where nothing was chosen.
        tokens: how many tokens the head was fitted on, or were drawn in training.
    """

    encoder: nn.Module
    config: dict[str, Any]
    name: str
    tokenizer: ByteTokenizer
    walk: Walk
    heads: Weights
    chosen: Trial | None = None
    trials: tuple[Trial, ...] = ()
    tokens: int

    def reader(self) -> Callable[[Tokenized], np.ndarray]:
        """Token logits and the values whose mean is the document logit: float32 [T, 2] of tokens."""
        heads = Heads(self.specs, len(self.heads["document.weight"]))
        heads.load_state_dict(self.heads)
        heads.to(self.walk.device)
        return lambda tokens: token_values(self.encoder, lambda x_PD: heads(x_PD.float()), tokens, 2, self.walk)

    @property
    def specs(self) -> HeadSpecs:
        """The kinds of the heads, as a bundle states them."""
        if "token.up.weight" not in self.heads:
            return HeadSpecs(token=LinearHead())
        return HeadSpecs(token=MlpHead(hidden=len(self.heads["token.up.weight"]), activation=ACTIVATION))


def document_weights(pooled_DK: np.ndarray, positive_D: np.ndarray) -> Weights:
    """The document head from mean features. Raises ValueError as `fit_document_head`."""
    weight_K, bias = fit_document_head(pooled_DK.astype(np.float64), positive_D)
    return {"document.weight": torch.from_numpy(weight_K).float(), "document.bias": torch.tensor([bias]).float()}
