"""Attention in plain products and sums, for graphs: a mask is added, and a softmax is one operation.

torch's own attention exports as the same with a test for rows without any key, which here always have one; leaving it
out makes a graph about a fifth faster at windows of 1,024 tokens.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from udfs.packed_row import three

if TYPE_CHECKING:
    from udfs.encoders.huggingface import HuggingFace

EXPORT = "tokensieve_export"


class Row:
    """Documents end to end in a row whose length is a multiple of `reach`: who sees whom within blocks of `reach`.

    `near_bias_B1wK`: 0 where a token sees the other and minus infinity elsewhere; K = 3 * w as in `packed_row.three`.
    """

    def __init__(self, document_T: Tensor, reach: int) -> None:
        """`document_T`: any number but -1 that tells a token's document from its neighbours."""
        self.reach = reach
        document_Bw = document_T.view(-1, reach)
        place_w, place_K = torch.arange(reach), torch.arange(3 * reach) - reach
        close_wK = (place_w[:, None] - place_K).abs() <= reach
        same_BwK = document_Bw[:, :, None] == three(document_Bw, -1)[:, None, :]
        self.near_bias_B1wK = _bias(close_wK & same_BwK)[:, None]


class Rows:
    """B documents, each a row of L tokens with padding at its end; T = B * L."""

    def __init__(self, ids_BL: Tensor, lengths_B: Tensor) -> None:
        self.rows, self.columns = ids_BL.shape
        self.column_L = torch.arange(self.columns)
        self.column_T = self.column_L.expand(self.rows, -1).flatten()
        self.own_BL = self.column_L < lengths_B[:, None]
        self._lengths_B = lengths_B
        self._near: dict[int, Row] = {}

    @property
    def own_bias_B11L(self) -> Tensor:
        """Hides padding."""
        return _bias(self.own_BL)[:, None, None]

    @property
    def causal_bias_LL(self) -> Tensor:
        """Hides later tokens."""
        return _bias(self.column_L[:, None] >= self.column_L)

    @property
    def mirror_T(self) -> Tensor:
        """Places that reverse every document within its own length."""
        turned_BL = torch.where(self.own_BL, self._lengths_B[:, None] - 1 - self.column_L, self.column_L)
        return (torch.arange(self.rows)[:, None] * self.columns + turned_BL).flatten()

    def near(self, reach: int) -> Row:
        """The rows end to end, filled to a multiple of `reach`."""
        if reach not in self._near:
            row_B1 = torch.arange(self.rows)[:, None]
            document_T = torch.where(self.own_BL, 2 * row_B1, 2 * row_B1 + 1).flatten()
            self._near[reach] = Row(self.whole(document_T, reach, -2), reach)
        return self._near[reach]

    def whole(self, x_T: Tensor, reach: int, value: int = 0) -> Tensor:
        """[T, ...] filled to the next multiple of `reach` above T, in a way that the exporter sees is one."""
        filled_T = functional.pad(x_T, (0, 0) * (x_T.ndim - 1) + (0, reach), value=value)
        return filled_T[: (self.rows * self.columns // reach + 1) * reach]

    def heads_first(self, x_THE: Tensor) -> Tensor:
        """[B, H, L, E] of [T, H, E]."""
        return x_THE.view(self.rows, self.columns, *x_THE.shape[1:]).transpose(1, 2)

    def flat(self, x_BHLE: Tensor) -> Tensor:
        """[T, H, E] of [B, H, L, E]."""
        return x_BHLE.transpose(1, 2).flatten(0, 1)


def attend_all(q_BHLE: Tensor, k_BHLE: Tensor, v_BHLE: Tensor, bias: Tensor, scale: float | None = None) -> Tensor:
    """softmax(scale * q k + bias) v, [B, H, L, E]; `scale` is 1 / sqrt(E) when None."""
    factor = q_BHLE.shape[-1] ** -0.5 if scale is None else scale
    return torch.softmax((q_BHLE * factor) @ k_BHLE.transpose(2, 3) + bias, dim=-1) @ v_BHLE


def attend_near(q_THE: Tensor, k_THE: Tensor, v_THE: Tensor, row: Row, scale: float | None = None) -> Tensor:
    """Every token with those of its document at most `row.reach` away: [T, H, E]."""
    q_BHwE, k_BHwE, v_BHwE = (x.view(-1, row.reach, *x.shape[1:]) for x in (q_THE, k_THE, v_THE))
    k_BHKE, v_BHKE = three(k_BHwE, 0).transpose(1, 2), three(v_BHwE, 0).transpose(1, 2)
    return attend_all(q_BHwE.transpose(1, 2), k_BHKE, v_BHKE, row.near_bias_B1wK, scale).transpose(1, 2).flatten(0, 1)


def use_export_attention(encoder: "HuggingFace") -> None:
    """Makes the model attend as above. One that does not take its attention from outside uses its own plain one."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(EXPORT, _attention)
    AttentionMaskInterface.register(EXPORT, sdpa_mask)
    encoder.model.config._attn_implementation = EXPORT if encoder.packed else "eager"


def _attention(
    module: Any,
    query_BHLE: Tensor,
    key_BHLE: Tensor,
    value_BHLE: Tensor,
    attention_mask: Tensor | None,
    *,
    export_rows: Rows,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it, [B, L, H, E]; `sliding_window` counts the token itself."""
    if sliding_window is None:
        mixed_BHLE = attend_all(query_BHLE, key_BHLE, value_BHLE, export_rows.own_bias_B11L, scaling)
        return mixed_BHLE.transpose(1, 2), None
    reach = sliding_window - 1
    q, k, v = (export_rows.whole(export_rows.flat(x), reach) for x in (query_BHLE, key_BHLE, value_BHLE))
    mixed_THE = attend_near(q, k, v, export_rows.near(reach), scaling)[: export_rows.rows * export_rows.columns]
    return mixed_THE.view(export_rows.rows, export_rows.columns, *mixed_THE.shape[1:]), None


def _bias(seen: Tensor) -> Tensor:
    return torch.where(seen, 0.0, float("-inf"))
