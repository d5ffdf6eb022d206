"""The two encoders made of whole language models (arXiv 2601.21571): features are the residual stream of chosen blocks.

`bilm`: two models, one reading forward and one backward, whose features meet at every token. A token's features are
[left, right] of every chosen block: what stands up to it, and what stands from it on. The right model reads every
document reversed and its features are turned back, so a changed later token changes them. `masked`: one bidirectional
model, trained to fill in masked tokens (RoBERTa's objective), at half a biLM's cost a token.

Blocks above the highest chosen one are not built. Features depend on the whole window, so where two windows overlap
they agree only as far as the models forget: a score is that of its window, and `margin` keeps it away from the cut.
"""

from typing import Any

import torch
from torch import Tensor, nn

from tokensieve.udfs.encoders.transformer import FeatureConfig, Transformer
from tokensieve.udfs.packing.packed_row import PackedRow


def build(shape: dict[str, Any]) -> "BiLM":
    """The encoder of the given shape (the fields of `FeatureConfig`), with fresh weights."""
    return BiLM(FeatureConfig(**shape))


class BiLM(nn.Module):
    """`left` and `right` are whole `Transformer`s; their final norm and output layer serve pretraining only."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = 2 * config.dim * len(config.layers)
        self.left = Transformer(config.transformer(causal=True))
        self.right = Transformer(config.transformer(causal=True))

    def forward(self, ids_T: Tensor, bounds_D1: Tensor) -> Tensor:
        """Features [T, 2 * dim * layers]: left then right half of each chosen layer; bounds_D1 as in `Encoder`."""
        row = PackedRow(bounds_D1, ids_T.device)
        left = self.left(ids_T, row, self.config.layers)
        right = self.right(ids_T[row.mirror_T], row, self.config.layers)
        return torch.cat([x for pair in zip(left, (x_TD[row.mirror_T] for x_TD in right)) for x in pair], dim=1)


def build_masked(shape: dict[str, Any]) -> "Masked":
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
