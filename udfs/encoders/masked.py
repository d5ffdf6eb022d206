"""One bidirectional transformer, trained to fill in masked tokens (RoBERTa's objective): half a biLM's cost a token.

Features are the residual stream after the chosen blocks, concatenated; blocks above the highest are not built. As in
the biLM they depend on the whole window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from udfs.transformer import Transformer, TransformerConfig, check_layers


@dataclass(frozen=True, kw_only=True)
class MaskedConfig:
    """Shape, as in `TransformerConfig`, and the blocks (from 1) whose residual stream is the feature."""

    vocab_size: int
    dim: int
    heads: int
    hidden: int
    layers: Sequence[int]
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        check_layers(self.layers)

    def transformer(self) -> TransformerConfig:
        """The shape of the transformer, as deep as the highest layer."""
        return TransformerConfig(
            vocab_size=self.vocab_size,
            dim=self.dim,
            layers=max(self.layers),
            heads=self.heads,
            hidden=self.hidden,
            causal=False,
            rope_base=self.rope_base,
        )


def build(shape: dict[str, Any]) -> "Masked":
    """The encoder of the given shape (the fields of `MaskedConfig`), with fresh weights."""
    return Masked(MaskedConfig(**shape))


class Masked(nn.Module):
    """`both` is a whole `Transformer`; its final norm and output layer serve pretraining only."""

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = config.dim * len(config.layers)
        self.both = Transformer(config.transformer())

    def forward(self, ids_T: Tensor, bounds_D1: Tensor) -> Tensor:
        """Features [T, dim * layers] in the order of the chosen layers; bounds_D1 as in `Encoder`."""
        return torch.cat(self.both(ids_T, bounds_D1, self.config.layers), dim=1)
