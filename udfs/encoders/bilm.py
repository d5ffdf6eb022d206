"""Two language models, one reading forward and one backward, whose features meet at every token (arXiv 2601.21571).

A token's features are [left, right] of every chosen block: what stands up to it, and what stands from it on. The right
model reads every document reversed and its features are turned back, so a changed later token changes them. Blocks
above the highest chosen one are not built. Features depend on the whole window, so where two windows overlap they agree
only as far as the models forget: a score is that of its window, and `margin` keeps it away from the cut edge.
"""

from typing import Any

import torch
from torch import Tensor, nn

from udfs.packed_row import PackedRow
from udfs.transformer import FeatureConfig, Transformer


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
