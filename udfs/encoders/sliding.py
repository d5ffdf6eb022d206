"""A small bidirectional transformer with exact sliding-window attention, for scoring on CPU cores or a GPU.

Every token attends to the tokens at most `reach` to its left and right in its own document, so `layers * reach` is all
that a score depends on: with that at most the window margin, scores of overlapping windows are those of the whole
document. What is given up is any topic signal farther away; the document head averages over the document instead.
The packed row is cut into blocks of `reach` tokens and each block attends to three, so cost is linear in tokens.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


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


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What every layer shares: the tables of one packed row of B blocks of w tokens."""

    cos_BwE: Tensor
    sin_BwE: Tensor
    mask_BwK: Tensor  # K = 3 * w: the block before, the block itself, the block after


class SlidingEncoder(nn.Module):
    """Pre-norm transformer without biases: rotary positions, squared ReLU, exact attention within `reach`."""

    def __init__(self, config: SlidingConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = config.dim
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim, bias=False)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02 if weight.shape[0] == config.vocab_size else config.dim**-0.5 / 2)

    def forward(self, ids_T: Tensor, bounds_D1: Tensor) -> Tensor:
        """Features [T, dim] of T packed tokens, in the dtype of the weights; bounds_D1 as in `Encoder`."""
        total, reach = len(ids_T), self.config.reach
        if not total:
            return self.embedding(ids_T)
        layout = self._layout(total, bounds_D1)
        padded = functional.pad(self.embedding(ids_T), (0, 0, 0, -total % reach))
        x_BwD = padded.view(-1, reach, self.dim)
        for block in self.blocks:
            x_BwD = block(x_BwD, layout)
        return self.norm(x_BwD.reshape(-1, self.dim)[:total])

    def _layout(self, total: int, bounds_D1: Tensor) -> _Layout:
        config, device = self.config, bounds_D1.device
        row_T = torch.arange(total + -total % config.reach, device=device)
        # Padding is a document of its own (it attends to itself), so no row of the softmax is empty.
        doc_T = torch.searchsorted(bounds_D1[1:].contiguous(), row_T, right=True)
        start_T = functional.pad(bounds_D1, (0, 1), value=total)[doc_T]
        pair_E = torch.arange(config.dim // config.heads // 2, device=device)
        # float64, because at position 1,000 a float32 angle is off by 6e-5: windows would differ from the document.
        angle_TE = (row_T - start_T)[:, None] * config.rope_base ** (-pair_E.double() / len(pair_E))
        doc_Bw, row_Bw = doc_T.view(-1, config.reach), row_T.view(-1, config.reach)
        near = (row_Bw[:, :, None] - _three(row_Bw, -config.reach - 1)[:, None, :]).abs() <= config.reach
        same = doc_Bw[:, :, None] == _three(doc_Bw, -1)[:, None, :]
        dtype = self.embedding.weight.dtype
        tables = angle_TE.view(*doc_Bw.shape, -1)
        return _Layout(cos_BwE=tables.cos().to(dtype), sin_BwE=tables.sin().to(dtype), mask_BwK=near & same)


class _Block(nn.Module):
    def __init__(self, config: SlidingConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(config.dim, bias=False)
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)
        self.norm_hidden = nn.LayerNorm(config.dim, bias=False)
        self.up = nn.Linear(config.dim, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)

    def forward(self, x_BwD: Tensor, layout: _Layout) -> Tensor:
        x_BwD = x_BwD + self.out(self._attend(self.norm_attention(x_BwD), layout))
        return x_BwD + self.down(functional.relu(self.up(self.norm_hidden(x_BwD))).square())

    def _attend(self, x_BwD: Tensor, layout: _Layout) -> Tensor:
        split = (*x_BwD.shape[:2], 3, self.heads, -1)
        q_BwHE, k_BwHE, v_BwHE = self.qkv(x_BwD).view(split).unbind(2)
        q_BwHE, k_BwHE = _rotate(q_BwHE, layout), _rotate(k_BwHE, layout)
        mixed_BHwE = functional.scaled_dot_product_attention(
            q_BwHE.transpose(1, 2),
            _three(k_BwHE, 0).transpose(1, 2),
            _three(v_BwHE, 0).transpose(1, 2),
            attn_mask=layout.mask_BwK[:, None],
        )
        return mixed_BHwE.transpose(1, 2).reshape(x_BwD.shape)


def _rotate(x_BwHE: Tensor, layout: _Layout) -> Tensor:
    cos, sin = layout.cos_BwE[:, :, None], layout.sin_BwE[:, :, None]
    left, right = x_BwHE.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)


def _three(x_Bw: Tensor, fill: int) -> Tensor:
    """[B, w, ...] to [B, 3w, ...]: each block with its neighbours; `fill` stands before the first, after the last."""
    edge = x_Bw.new_full((1, *x_Bw.shape[1:]), fill)
    return torch.cat([torch.cat([edge, x_Bw[:-1]]), x_Bw, torch.cat([x_Bw[1:], edge])], dim=1)
