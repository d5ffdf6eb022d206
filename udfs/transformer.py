"""A packed transformer, causal or bidirectional: the block that the language-model encoders are made of.

Pre-RMSNorm, rotary positions that restart in every document, squared ReLU, no biases, tied embedding (arXiv 2601.21571,
appendix). Attention never crosses a document's bounds and nothing is padded: on a CPU it runs document by document,
those of one length together; on CUDA by torch's jagged tensors. What is given up is muP's scaling of attention and
learning rates, which only a sweep over widths needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


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


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What all blocks share for one packed row of documents without empty ones."""

    cos_T1E: Tensor  # float32; E = half a head
    sin_T1E: Tensor
    bounds_D1: Tensor  # on the device
    lengths: list[int]  # of the documents, on the host
    groups: list[tuple[int, int]]  # (documents, length) of neighbours of equal length


class Transformer(nn.Module):
    """The blocks, their embedding, and the norm before the tied output layer."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, ids_T: Tensor, bounds_D1: Tensor, layers: Sequence[int] | None = None) -> list[Tensor]:
        """Runs T packed tokens; document d is ids_T[bounds_D1[d]:bounds_D1[d + 1]], ids and bounds int64.

        Args:
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
        layout = _layout(bounds_D1, self.config) if len(ids_T) else None
        after: dict[int, Tensor] = {}
        for layer, block in enumerate(self.blocks[: max(wanted)], start=1):
            x_TD = x_TD if layout is None else block(x_TD, layout)
            after[layer] = x_TD
        return [self.norm(x_TD)] if layers is None else [after[layer] for layer in wanted]

    def logits(self, x_TD: Tensor) -> Tensor:
        """Scores [T, vocab] of the next (causal) or the masked token, from features after the final norm."""
        return functional.linear(x_TD, self.embedding.weight)


def mirror(bounds_D1: Tensor) -> Tensor:
    """Rows [T] that reverse every document within its bounds; applied twice it changes nothing."""
    lengths_D = bounds_D1.diff()
    ends_T = torch.repeat_interleave(bounds_D1[:-1] + bounds_D1[1:] - 1, lengths_D)
    return ends_T - torch.arange(int(bounds_D1[-1]), device=bounds_D1.device)


def check_layers(layers: Sequence[int]) -> None:
    """Raises ValueError unless `layers` names some different blocks, counted from 1."""
    if not layers or len(set(layers)) < len(layers) or not all(isinstance(n, int) and n >= 1 for n in layers):
        raise ValueError(f"layers must be different blocks, counted from 1, and at least one; found {list(layers)}")


class _Block(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads, self.causal = config.heads, config.causal
        self.norm_attention = nn.RMSNorm(config.dim, eps=1e-6)
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)
        self.norm_hidden = nn.RMSNorm(config.dim, eps=1e-6)
        self.up = nn.Linear(config.dim, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)
        for into in (self.qkv, self.up):
            nn.init.normal_(into.weight, std=config.dim**-0.5)
        for back in (self.out, self.down):  # so that the residual stream does not grow with the depth
            nn.init.normal_(back.weight, std=(2 * config.layers * back.in_features) ** -0.5)

    def forward(self, x_TD: Tensor, layout: _Layout) -> Tensor:
        x_TD = x_TD + self.out(self._attend(self.norm_attention(x_TD), layout))
        return x_TD + self.down(functional.relu(self.up(self.norm_hidden(x_TD))).square())

    def _attend(self, x_TD: Tensor, layout: _Layout) -> Tensor:
        q_THE, k_THE, v_THE = self.qkv(x_TD).view(len(x_TD), 3, self.heads, -1).unbind(1)
        q_THE, k_THE = _rotate(q_THE, layout), _rotate(k_THE, layout)
        attend = _attend_jagged if x_TD.is_cuda else _attend_groups
        return attend(q_THE, k_THE, v_THE, layout, self.causal).reshape(len(x_TD), -1)


def _layout(bounds_D1: Tensor, config: TransformerConfig) -> _Layout:
    bounds_D1 = torch.unique_consecutive(bounds_D1)  # an empty document has no row
    starts_T = torch.repeat_interleave(bounds_D1[:-1], bounds_D1.diff())
    position_T = torch.arange(len(starts_T), device=bounds_D1.device) - starts_T
    pair_E = torch.arange(config.dim // config.heads // 2, device=bounds_D1.device)
    # float64, because at position 1,000 a float32 angle is off by 6e-5.
    angle_T1E = position_T[:, None, None] * config.rope_base ** (-pair_E.double() / len(pair_E))
    lengths_D = bounds_D1.diff().cpu()
    length_G, documents_G = torch.unique_consecutive(lengths_D, return_counts=True)
    return _Layout(
        cos_T1E=angle_T1E.cos().float(),
        sin_T1E=angle_T1E.sin().float(),
        bounds_D1=bounds_D1,
        lengths=lengths_D.tolist(),
        groups=list(zip(documents_G.tolist(), length_G.tolist())),
    )


def _rotate(x_THE: Tensor, layout: _Layout) -> Tensor:
    """Turns the pairs of every head by their angle, in float32 whatever the weights are."""
    left, right = x_THE.float().chunk(2, dim=-1)
    cos, sin = layout.cos_T1E, layout.sin_T1E
    return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1).to(x_THE.dtype)


def _attend_groups(q_THE: Tensor, k_THE: Tensor, v_THE: Tensor, layout: _Layout, causal: bool) -> Tensor:
    """Attention of every document with itself: neighbours of equal length in one call, without a mask."""
    mixed, sizes = [], [documents * length for documents, length in layout.groups]
    for (documents, length), *rows in zip(layout.groups, *(x.split(sizes) for x in (q_THE, k_THE, v_THE))):
        q, k, v = (x.view(documents, length, *x.shape[1:]).transpose(1, 2) for x in rows)
        mixed.append(functional.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(0, 1))
    return torch.cat(mixed)


def _attend_jagged(q_THE: Tensor, k_THE: Tensor, v_THE: Tensor, layout: _Layout, causal: bool) -> Tensor:
    """The same through one variable-length kernel."""
    low, high = min(layout.lengths), max(layout.lengths)
    q, k, v = (
        torch.nested.nested_tensor_from_jagged(x.contiguous(), layout.bounds_D1, min_seqlen=low, max_seqlen=high)
        for x in (q_THE, k_THE, v_THE)
    )
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).values()
