"""A small bidirectional transformer with exact sliding-window attention, for scoring on CPU cores or a GPU.

Every token attends to the tokens at most `reach` to its left and right in its own document, so `layers * reach` is all
that a score depends on: with that at most the window margin, scores of overlapping windows are those of the whole
document. What is given up is any topic signal farther away; the document head averages over the document instead.
Cost is linear in tokens.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tokensieve.udfs.encoders.attention import rotary
from tokensieve.udfs.encoders.block import Block
from tokensieve.udfs.packing.packed_row import PackedRow


@dataclass(frozen=True, kw_only=True)
class SlidingConfig:
    """Shape of the encoder: width `dim`, feed-forward width `hidden`, attention `reach` in tokens to each side."""

    vocab_size: int
    dim: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 512
    reach: int = 32
    rope_base: float = 1000.0

    def __post_init__(self) -> None:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim {self.dim} must be a multiple of twice the {self.heads} heads (rotary pairs)")


def build(shape: dict[str, Any]) -> "SlidingEncoder":
    """The encoder of the given shape (the fields of `SlidingConfig`), with fresh weights."""
    return SlidingEncoder(SlidingConfig(**shape))


class SlidingEncoder(nn.Module):
    """Pre-norm transformer without biases: rotary positions, squared ReLU, exact attention within `reach`."""

    def __init__(self, config: SlidingConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = config.dim
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim, bias=False)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02 if weight.shape[0] == config.vocab_size else config.dim**-0.5 / 2)

    def forward(self, ids_T: Tensor, bounds_D1: Tensor) -> Tensor:
        """Features [T, dim] of T packed tokens, in the dtype of the weights; bounds_D1 as in `Encoder`."""
        x_TD = self.embedding(ids_T)
        row = PackedRow(bounds_D1, ids_T.device)
        if not row.total:
            return x_TD
        tables = rotary(row, self.dim // self.config.heads, self.config.rope_base)
        for block in self.blocks:
            x_TD = block(x_TD, row, tables)
        return self.norm(x_TD)


def _block(config: SlidingConfig) -> Block:
    norms = (nn.LayerNorm(config.dim, bias=False), nn.LayerNorm(config.dim, bias=False))
    return Block(norms=norms, dim=config.dim, heads=config.heads, hidden=config.hidden, reach=config.reach)
