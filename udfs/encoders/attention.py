"""Attention of packed documents, each with itself alone, nothing padded: one function for every encoder and device.

On CUDA in bf16 or fp16 it is flash attention's variable-length kernel, in other dtypes torch's jagged tensors. On a
CPU it is one call for neighbours of equal length, and where attention has a reach, blocks of that many tokens that
attend to three, so that the cost is linear in tokens. What tells an encoder of positions is rotary: pairs of a head's
columns are turned by an angle that grows with the place in the document.
"""

import inspect
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tokensieve.udfs.packing.packed_row import PackedRow, three


def attend(
    q_THE: Tensor,
    k_THE: Tensor,
    v_THE: Tensor,
    row: PackedRow,
    *,
    causal: bool = False,
    reach: int | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """What H heads of E columns mix for T tokens: [T, H, E].

    Args:
        causal: a token sees its left side only, else both.
        reach: a token sees at most so many to each side; None: the whole document. Not with `causal`.
        scale: of the products, 1 / sqrt(E) when None. dropout: probability of leaving out a weight.

    Raises:
        ValueError: `causal` with a `reach`.
    """
    if causal and reach is not None:
        raise ValueError("causal attention with a reach is not made here")
    near = reach is not None and row.longest > reach + 1
    if not dropout and _flash(q_THE):
        window = (-1, 0) if causal else (reach, reach) if near else (-1, -1)
        return _attend_varlen(q_THE, k_THE, v_THE, row, window, scale)
    if reach is not None and near:
        return _attend_near(q_THE, k_THE, v_THE, row, reach, {"scale": scale, "dropout_p": dropout})
    options = {"is_causal": causal, "scale": scale, "dropout_p": dropout}
    if q_THE.is_cuda and not dropout:
        return _attend_jagged(q_THE, k_THE, v_THE, row, options)
    return _attend_groups(q_THE, k_THE, v_THE, row, options)


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Cosines and sines of every token of a packed row, float32 [T, 1, E]; E is half a head."""

    cos_T1E: Tensor
    sin_T1E: Tensor


def rotary(row: PackedRow, head: int, base: float) -> Rotary:
    """The tables of a row for heads of `head` columns; pair e of E turns by base ** (-e / E) a token."""
    pair_E = torch.arange(head // 2, device=row.device)
    position_L = torch.arange(row.longest, device=row.device)
    # float64, because at position 1,000 a float32 angle is off by 6e-5: windows would differ from the document.
    angle_LE = position_L[:, None] * base ** (-pair_E.double() / len(pair_E))
    cos_LE, sin_LE = angle_LE.cos().float(), angle_LE.sin().float()
    return Rotary(cos_T1E=cos_LE[row.position_T, None], sin_T1E=sin_LE[row.position_T, None])


def rotate(x_THE: Tensor, tables: Rotary) -> Tensor:
    """The heads [T, H, 2E] turned, in float32 whatever their dtype is, which they keep."""
    left, right = x_THE.float().chunk(2, dim=-1)
    cos, sin = tables.cos_T1E, tables.sin_T1E
    return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1).to(x_THE.dtype)


def _flash(q_THE: Tensor) -> bool:
    """Whether torch's variable-length kernel takes these heads: its own conditions (flash attention 2)."""
    return (
        q_THE.is_cuda
        and q_THE.dtype in (torch.float16, torch.bfloat16)
        and q_THE.shape[-1] % 8 == 0
        and q_THE.shape[-1] <= 256
        and _has_varlen(q_THE.device.index)
    )


@lru_cache
def _has_varlen(device: int) -> bool:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    # Its first releases had no window.
    return (
        "window_size" in inspect.signature(varlen_attn).parameters
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def _attend_varlen(q: Tensor, k: Tensor, v: Tensor, row: PackedRow, window: Any, scale: float | None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    bounds, longest = row.bounds_D1, row.longest
    mixed = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scale, window_size=window)
    assert isinstance(mixed, Tensor)  # a pair only where its auxiliary output is asked for
    return mixed


def _attend_groups(q_THE: Tensor, k_THE: Tensor, v_THE: Tensor, row: PackedRow, options: dict[str, Any]) -> Tensor:
    mixed, sizes = [], [documents * length for documents, length in row.groups]
    for (documents, length), *rows in zip(row.groups, *(x.split(sizes) for x in (q_THE, k_THE, v_THE)), strict=True):
        q, k, v = (x.view(documents, length, *x.shape[1:]).transpose(1, 2) for x in rows)
        mixed.append(functional.scaled_dot_product_attention(q, k, v, **options).transpose(1, 2).flatten(0, 1))
    return torch.cat(mixed)


def _attend_jagged(q_THE: Tensor, k_THE: Tensor, v_THE: Tensor, row: PackedRow, options: dict[str, Any]) -> Tensor:
    low, high, bounds_D1 = int(row.lengths_D.min()), row.longest, row.bounds_D1.long()
    q, k, v = (
        torch.nested.nested_tensor_from_jagged(x.contiguous(), bounds_D1, min_seqlen=low, max_seqlen=high)
        for x in (q_THE, k_THE, v_THE)
    )
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v, **options).transpose(1, 2).values()


def _attend_near(
    q_THE: Tensor, k_THE: Tensor, v_THE: Tensor, row: PackedRow, reach: int, options: dict[str, Any]
) -> Tensor:
    """The row in B blocks of w = `reach` tokens, each with the blocks before and after it."""
    fill = -row.total % reach
    blocks = [functional.pad(x, (0, 0, 0, 0, 0, fill)) if fill else x for x in (q_THE, k_THE, v_THE)]
    q_BwHE, k_BwHE, v_BwHE = (x.reshape(-1, reach, *x.shape[1:]) for x in blocks)
    mixed_BHwE = functional.scaled_dot_product_attention(
        q_BwHE.transpose(1, 2),
        three(k_BwHE, 0).transpose(1, 2),
        three(v_BwHE, 0).transpose(1, 2),
        attn_mask=row.near(reach)[:, None],
        **options,
    )
    return mixed_BHwE.transpose(1, 2).flatten(0, 1)[: row.total]
