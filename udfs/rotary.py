"""Rotary positions: pairs of a head's columns turned by an angle that grows with the place in the document."""

from dataclasses import dataclass

import torch
from torch import Tensor

from udfs.packed_row import PackedRow


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
