"""Encoders with their heads as one torch module that ONNX can hold: tensors of free sizes in, nothing asked of bounds.

Weights and blocks are the encoder's own; what is written anew is how documents lie in a tensor, and the graph is
compared with the packed encoder before anybody uses it. Rotary tables end with the bundle's window, so a graph reads no
longer one. This file imports torch: only making a graph needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from udfs.encoders.bilm import BiLM
from udfs.encoders.huggingface import HuggingFace
from udfs.encoders.masked import Masked
from udfs.encoders.sliding import SlidingEncoder
from udfs.rotary import Rotary
from udfs.scoring.backends.onnx_attention import Row, Rows, attend_all, attend_near, use_export_attention
from udfs.scoring.backends.onnx_layout import Layout, RowLayout, RowsLayout
from udfs.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Form:
    """A module to export, inputs to trace it with, whose axes are all free, and how packs become such inputs."""

    module: nn.Module
    inputs: tuple[Tensor, Tensor]
    layout: Layout


def form(encoder: nn.Module, heads: nn.Module, window: int) -> Form:
    """The form of a bundle's encoder and heads, for windows of at most `window` tokens.

    Raises ValueError for a kind of encoder that has no form here.
    """
    if isinstance(encoder, SlidingEncoder):
        reach = encoder.config.reach
        row = torch.arange(3 * reach) % 5, torch.tensor([0] * 2 * reach + [2 * reach] * reach)
        return _made(_SlidingForm(encoder, heads, window), row, RowLayout(multiple=reach))
    rows = torch.arange(60).view(3, 20) % 5, torch.tensor([20, 20, 11])
    if isinstance(encoder, Masked):
        return _made(_RowsForm(_MaskedRows(encoder, window), heads), rows, RowsLayout())
    if isinstance(encoder, BiLM):
        return _made(_RowsForm(_BiLMRows(encoder, window), heads), rows, RowsLayout())
    if isinstance(encoder, HuggingFace):
        config = encoder.config
        padding = encoder.model.config.pad_token_id or 0
        layout = RowsLayout(before=tuple(config.before), after=tuple(config.after), padding=padding)
        return _made(_RowsForm(_HuggingFaceRows(encoder), heads), rows, layout)
    raise ValueError(f"an encoder of type {type(encoder).__module__} has no form for ONNX")


def _made(module: nn.Module, inputs: tuple[Tensor, Tensor], layout: Layout) -> Form:
    return Form(module=module.eval().requires_grad_(False), inputs=inputs, layout=layout)


class _RowsForm(nn.Module):
    """A document a row, then padding: ids int64 [B, L] and lengths int64 [B] in, float32 [B, L, 2P] out."""

    def __init__(self, features: nn.Module, heads: nn.Module) -> None:
        super().__init__()
        self.features, self.heads = features, heads

    def forward(self, ids_BL: Tensor, lengths_B: Tensor) -> Tensor:
        features_TK = self.features(ids_BL, Rows(ids_BL, lengths_B))
        return self.heads(features_TK).view(ids_BL.shape[0], ids_BL.shape[1], -1)


class _SlidingForm(nn.Module):
    """Documents end to end: ids int64 [T], where each token's document starts, int64 [T], in; float32 [T, 2P] out."""

    def __init__(self, encoder: SlidingEncoder, heads: nn.Module, window: int) -> None:
        super().__init__()
        config = encoder.config
        self.encoder, self.heads = encoder, heads
        # Filling after the last document may make a document of up to `reach` tokens.
        self.tables = _Tables(max(window, config.reach), config.dim // config.heads, config.rope_base)

    def forward(self, ids_T: Tensor, starts_T: Tensor) -> Tensor:
        row = Row(starts_T, self.encoder.config.reach)
        tables = self.tables(torch.arange(ids_T.shape[0]) - starts_T)
        x_TD = self.encoder.embedding(ids_T)
        for block in self.encoder.blocks:
            q_THE, k_THE, v_THE = block.before(x_TD, tables)  # type: ignore[operator]  # a Block
            x_TD = block.after(x_TD, attend_near(q_THE, k_THE, v_THE, row))  # type: ignore[operator]
        return self.heads(self.encoder.norm(x_TD))


class _MaskedRows(nn.Module):
    def __init__(self, encoder: Masked, window: int) -> None:
        super().__init__()
        self.both = _TransformerRows(encoder.both, encoder.config.layers, window)

    def forward(self, ids_BL: Tensor, rows: Rows) -> Tensor:
        return torch.cat(self.both(ids_BL, rows, rows.own_bias_B11L), dim=1)


class _BiLMRows(nn.Module):
    def __init__(self, encoder: BiLM, window: int) -> None:
        super().__init__()
        self.left = _TransformerRows(encoder.left, encoder.config.layers, window)
        self.right = _TransformerRows(encoder.right, encoder.config.layers, window)

    def forward(self, ids_BL: Tensor, rows: Rows) -> Tensor:
        # Padding stands at the end in either direction, where a causal model does not look.
        left = self.left(ids_BL, rows, rows.causal_bias_LL)
        mirrored_BL = ids_BL.flatten()[rows.mirror_T].view(ids_BL.shape)
        right = [x_TD[rows.mirror_T] for x_TD in self.right(mirrored_BL, rows, rows.causal_bias_LL)]
        return torch.cat([x for pair in zip(left, right, strict=True) for x in pair], dim=1)


class _TransformerRows(nn.Module):
    """A `Transformer`'s blocks: the residual stream after each chosen one, a list of [T, dim] with T = B * L."""

    def __init__(self, model: Transformer, layers: Sequence[int], window: int) -> None:
        super().__init__()
        config = model.config
        self.embedding, self.blocks = model.embedding, model.blocks[: max(layers)]
        self.layers = tuple(layers)
        self.tables = _Tables(window, config.dim // config.heads, config.rope_base)

    def forward(self, ids_BL: Tensor, rows: Rows, bias: Tensor) -> list[Tensor]:
        x_TD, tables = self.embedding(ids_BL.flatten()), self.tables(rows.column_T)
        after: dict[int, Tensor] = {}
        for layer, block in enumerate(self.blocks, start=1):
            q, k, v = (rows.heads_first(x_THE) for x_THE in block.before(x_TD, tables))  # type: ignore[operator]
            mixed_THE = rows.flat(attend_all(q, k, v, bias))
            x_TD = after[layer] = block.after(x_TD, mixed_THE)  # type: ignore[operator]
        return [after[layer] for layer in self.layers]


class _HuggingFaceRows(nn.Module):
    def __init__(self, encoder: HuggingFace) -> None:
        super().__init__()
        self.encoder = encoder
        use_export_attention(encoder)

    def forward(self, ids_BL: Tensor, rows: Rows) -> Tensor:
        options: dict[str, Any] = {}
        mask = rows.own_BL.long()
        if self.encoder.packed:
            # A mask of four axes is passed on as it is; our attention looks at `export_rows` alone.
            mask = torch.zeros(1, 1, 1, 1)
            positions_1L = rows.column_L[None] + self.encoder.first_position
            options = {"position_ids": positions_1L.expand(ids_BL.shape), "export_rows": rows}
        return self.encoder.outputs(ids_BL, mask, **options).flatten(0, 1)


class _Tables(nn.Module):
    """Rotary tables up to a window, looked up by positions."""

    def __init__(self, window: int, head: int, base: float) -> None:
        super().__init__()
        whole = rotary_tables(window, head, base)
        self.register_buffer("cos_W1E", whole.cos_T1E)
        self.register_buffer("sin_W1E", whole.sin_T1E)

    def forward(self, position_T: Tensor) -> Rotary:
        return Rotary(cos_T1E=self.cos_W1E[position_T], sin_T1E=self.sin_W1E[position_T])  # type: ignore[index]


def rotary_tables(window: int, head: int, base: float) -> Rotary:
    """The tables of one document of `window` tokens."""
    from udfs.packed_row import PackedRow
    from udfs.rotary import rotary

    return rotary(PackedRow(torch.tensor([0, window]), torch.device("cpu")), head, base)
