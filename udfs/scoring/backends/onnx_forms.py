"""Encoders with their heads in a form that ONNX can hold: plain tensors of free sizes in, no bounds, no groups.

The weights are the packed modules' own; what is written anew is the layout around them, and the graph is compared with
the packed module before it is used (`onnx_graph.py`). Positions are looked up in tables as long as a window, so a graph
takes no longer one. Torch is imported here: only making a graph needs it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from udfs.encoders.bilm import BiLM
from udfs.encoders.huggingface import HuggingFace
from udfs.encoders.masked import Masked
from udfs.encoders.sliding import SlidingEncoder
from udfs.transformer import Transformer


class Rows(nn.Module):
    """Windows as rows: ids int64 [B, L] and lengths int64 [B] in, float32 [B, L, 2P] out; the tail is padding."""

    def __init__(self, features: nn.Module, heads: nn.Module) -> None:
        super().__init__()
        self.features, self.heads = features, heads

    def forward(self, ids_BL: Tensor, lengths_B: Tensor) -> Tensor:
        features_BLK = self.features(ids_BL, lengths_B)
        values_NH = self.heads(features_BLK.flatten(0, 1))
        return values_NH.view(features_BLK.shape[0], features_BLK.shape[1], -1)


class TransformerRows(nn.Module):
    """The blocks of a `Transformer` on rows: the residual stream after each chosen block, a list of [B, L, dim]."""

    def __init__(self, model: Transformer, layers: Sequence[int], window: int) -> None:
        super().__init__()
        config = model.config
        self.model, self.layers = model, tuple(layers)
        cos_WE, sin_WE = rotary(window, config.dim // config.heads // 2, config.rope_base)
        self.register_buffer("cos_WE", cos_WE)
        self.register_buffer("sin_WE", sin_WE)

    def forward(self, ids_BL: Tensor, own_BL: Tensor) -> list[Tensor]:
        mask_B1LL = own_BL[:, None, None, :]
        x_BLD, after = self.model.embedding(ids_BL), {}
        for layer, block in enumerate(self.model.blocks[: max(self.layers)], start=1):
            x_BLD = self._block(block, x_BLD, mask_B1LL)
            after[layer] = x_BLD
        return [after[layer] for layer in self.layers]

    def _block(self, block: Any, x_BLD: Tensor, mask_B1LL: Tensor) -> Tensor:
        split = (x_BLD.shape[0], x_BLD.shape[1], 3, block.heads, -1)
        q, k, v = block.qkv(block.norm_attention(x_BLD)).view(split).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self._rotate(q), self._rotate(k)
        if block.causal:
            # The padding is on the right, where a causal model does not look.
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask_B1LL)
        x_BLD = x_BLD + block.out(mixed.transpose(1, 2).reshape(x_BLD.shape))
        return x_BLD + block.down(functional.relu(block.up(block.norm_hidden(x_BLD))).square())

    def _rotate(self, x_BHLE: Tensor) -> Tensor:
        left, right = x_BHLE.chunk(2, dim=-1)
        cos, sin = self.cos_WE[: x_BHLE.shape[2]], self.sin_WE[: x_BHLE.shape[2]]
        return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)


class MaskedRows(nn.Module):
    def __init__(self, encoder: Masked, window: int) -> None:
        super().__init__()
        self.both = TransformerRows(encoder.both, encoder.config.layers, window)

    def forward(self, ids_BL: Tensor, lengths_B: Tensor) -> Tensor:
        column_L = torch.arange(ids_BL.shape[1])
        return torch.cat(self.both(ids_BL, column_L < lengths_B[:, None]), dim=-1)


class HuggingFaceRows(nn.Module):
    def __init__(self, encoder: HuggingFace) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids_BL: Tensor, lengths_B: Tensor) -> Tensor:
        column_L = torch.arange(ids_BL.shape[1])
        return self.encoder._outputs(ids_BL, (column_L < lengths_B[:, None]).long())


def rotary(window: int, pairs: int, base: float) -> tuple[Tensor, Tensor]:
    pair_E = torch.arange(pairs)
    angle_WE = torch.arange(window)[:, None] * base ** (-pair_E.double() / pairs)
    return angle_WE.cos().float(), angle_WE.sin().float()
