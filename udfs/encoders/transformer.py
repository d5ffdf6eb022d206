"""A packed transformer, causal or bidirectional: the block that the language-model encoders are made of.

Pre-RMSNorm, rotary positions that restart in every document, squared ReLU, no biases, tied embedding (arXiv 2601.21571,
appendix). Attention never crosses a document's bounds and nothing is padded. What is given up is muP's scaling of
attention and learning rates, which only a sweep over widths needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from tokensieve.udfs.encoders.attention import rotary
from tokensieve.udfs.encoders.block import Block
from tokensieve.udfs.packing.packed_row import PackedRow


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Shape of a transformer.

    Attributes:
        dim: width of the residual stream. heads: attention heads of dim / heads, an even number.
        hidden: width of the feed-forward layer. causal: a token sees its left side only, else both.
        rope_base: base of the rotary wavelengths.
    """

    vocab_size: int
    dim: int
    layers: int
    heads: int
    hidden: int
    causal: bool
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim {self.dim} must be a multiple of twice the {self.heads} heads (rotary pairs)")
        if self.layers < 1 or self.vocab_size < 1:
            raise ValueError(f"layers ({self.layers}) and vocab_size ({self.vocab_size}) must be at least 1")


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Shape of an encoder of such transformers, and the blocks (from 1) whose residual stream is the feature."""

    vocab_size: int
    dim: int
    heads: int
    hidden: int
    layers: Sequence[int]
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        check_layers(self.layers)

    def transformer(self, *, causal: bool) -> TransformerConfig:
        """The shape of one transformer, as deep as the highest layer."""
        return TransformerConfig(
            vocab_size=self.vocab_size,
            dim=self.dim,
            layers=max(self.layers),
            heads=self.heads,
            hidden=self.hidden,
            causal=causal,
            rope_base=self.rope_base,
        )


# Layers, width and heads of the paper's models by their size in millions (Table A.1 there; the last four are language
# models only). The vocabulary, which makes most of the small ones' parameters, is chosen apart.
SHAPES = {
    "13M": {"layers": 2, "dim": 128, "heads": 4, "hidden": 512},
    "29M": {"layers": 4, "dim": 256, "heads": 4, "hidden": 1024},
    "61M": {"layers": 7, "dim": 448, "heads": 8, "hidden": 1792},
    "113M": {"layers": 10, "dim": 640, "heads": 10, "hidden": 2560},
    "224M": {"layers": 14, "dim": 896, "heads": 14, "hidden": 3584},
}


class Transformer(nn.Module):
    """The blocks, their embedding, and the norm before the tied output layer."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(
        self, ids_T: Tensor, bounds_D1: Tensor | PackedRow, layers: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Runs T packed tokens, ids int64.

        Args:
            bounds_D1: document d is ids_T[bounds_D1[d]:bounds_D1[d + 1]], int64, best on the CPU; or the row that was
                made of them, by which two transformers share what they ask about it.
            layers: blocks, counted from 1, after which the residual stream is wanted; blocks above the highest do not
                run. None: after the last one and the final norm, which `logits` takes.

        Returns:
            One [T, dim] per layer asked for, in that order (None: one), in the dtype of the weights.

        Raises:
            ValueError: a layer that this transformer does not have.
        """
        wanted = [len(self.blocks)] if layers is None else list(layers)
        if not wanted or not all(1 <= layer <= len(self.blocks) for layer in wanted):
            raise ValueError(f"layers {wanted} must be some of 1 to {len(self.blocks)}")
        x_TD = self.embedding(ids_T)
        row = bounds_D1 if isinstance(bounds_D1, PackedRow) else PackedRow(bounds_D1, ids_T.device)
        tables = rotary(row, self.config.dim // self.config.heads, self.config.rope_base)
        after: dict[int, Tensor] = {}
        for layer, block in enumerate(self.blocks[: max(wanted)], start=1):
            x_TD = block(x_TD, row, tables) if row.total else x_TD
            after[layer] = x_TD
        return [self.norm(x_TD)] if layers is None else [after[layer] for layer in wanted]

    def logits(self, x_TD: Tensor) -> Tensor:
        """Scores [T, vocab] of the next (causal) or the masked token, from features after the final norm."""
        return functional.linear(x_TD, self.embedding.weight)


def check_layers(layers: Sequence[int]) -> None:
    """Raises ValueError unless `layers` names some different blocks, counted from 1."""
    if not layers or len(set(layers)) < len(layers) or not all(isinstance(n, int) and n >= 1 for n in layers):
        raise ValueError(f"layers must be different blocks, counted from 1, and at least one; found {list(layers)}")


def _block(config: TransformerConfig) -> Block:
    made = Block(
        norms=(nn.RMSNorm(config.dim, eps=1e-6), nn.RMSNorm(config.dim, eps=1e-6)),
        dim=config.dim,
        heads=config.heads,
        hidden=config.hidden,
        causal=config.causal,
    )
    for into in (made.qkv, made.up):
        nn.init.normal_(into.weight, std=config.dim**-0.5)
    for back in (made.out, made.down):  # so that the residual stream does not grow with the depth
        nn.init.normal_(back.weight, std=(2 * config.layers * back.in_features) ** -0.5)
    return made
