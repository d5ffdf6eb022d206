"""Two language models, one reading forward and one backward, whose features meet at every token (arXiv 2601.21571).

A token's features are [left, right] of every chosen block: what stands up to it, and what stands from it on. The right
model reads every document reversed and its features are turned back, so a changed later token changes them. Blocks
above the highest chosen one are not built. Features depend on the whole window, so where two windows overlap they agree
only as far as the models forget: a score is that of its window, and `margin` keeps it away from the cut edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from udfs.transformer import Transformer, TransformerConfig, check_layers, mirror


@dataclass(frozen=True, kw_only=True)
class BiLMConfig:
    """Shape of both halves, as in `TransformerConfig`, and the blocks (from 1) whose residual stream is the feature."""

    vocab_size: int
    dim: int
    heads: int
    hidden: int
    layers: Sequence[int]
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        check_layers(self.layers)

    def half(self) -> TransformerConfig:
        """The shape of one direction, as deep as the highest layer."""
        return TransformerConfig(
            vocab_size=self.vocab_size,
            dim=self.dim,
            layers=max(self.layers),
            heads=self.heads,
            hidden=self.hidden,
            causal=True,
            rope_base=self.rope_base,
        )


def build(shape: dict[str, Any]) -> "BiLM":
    """The encoder of the given shape (the fields of `BiLMConfig`), with fresh weights."""
    return BiLM(BiLMConfig(**shape))


class BiLM(nn.Module):
    """`left` and `right` are whole `Transformer`s; their final norm and output layer serve pretraining only."""

    def __init__(self, config: BiLMConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = 2 * config.dim * len(config.layers)
        self.left = Transformer(config.half())
        self.right = Transformer(config.half())

    def forward(self, ids_T: Tensor, bounds_D1: Tensor) -> Tensor:
        """Features [T, 2 * dim * layers]: left then right half of each chosen layer; bounds_D1 as in `Encoder`."""
        mirror_T = mirror(bounds_D1)
        left = self.left(ids_T, bounds_D1, self.config.layers)
        right = self.right(ids_T[mirror_T], bounds_D1, self.config.layers)
        return torch.cat([x for pair in zip(left, (x_TD[mirror_T] for x_TD in right)) for x in pair], dim=1)
