"""One bidirectional transformer, trained to fill in masked tokens (RoBERTa's objective): half a biLM's cost a token.

Features are the residual stream after the chosen blocks, concatenated; blocks above the highest are not built. As in
the biLM they depend on the whole window.
"""

from typing import Any

import torch
from torch import Tensor, nn

from udfs.transformer import FeatureConfig, Transformer


def build(shape: dict[str, Any]) -> "Masked":
    """The encoder of the given shape (the fields of `FeatureConfig`), with fresh weights."""
    return Masked(FeatureConfig(**shape))


class Masked(nn.Module):
    """`both` is a whole `Transformer`; its final norm and output layer serve pretraining only."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = config.dim * len(config.layers)
        self.both = Transformer(config.transformer(causal=False))

    def forward(self, ids_T: Tensor, bounds_D1: Tensor) -> Tensor:
        """Features [T, dim * layers] in the order of the chosen layers; bounds_D1 as in `Encoder`."""
        return torch.cat(self.both(ids_T, bounds_D1, self.config.layers), dim=1)
