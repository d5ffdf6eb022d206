"""Teaches transformers our packed attention: many documents in one row of ids, each attending to itself alone.

A model asks for it by the name `PACKED`. The row travels through the model's keyword arguments to every attention
layer; without one the name stands for torch's own `sdpa`, so the model still answers anybody's padded batch.
"""

from typing import TYPE_CHECKING, Any

from torch import Tensor

from tokensieve.udfs.encoders.attention import attend
from tokensieve.udfs.packing.packed_row import PackedRow

if TYPE_CHECKING:
    from torch import nn

PACKED = "tokensieve_packed"

# Model types whose every layer goes through that interface and whose positions can be given. A type that is not here
# runs as padded rows: one with positions of its own kind (DeBERTa's) would read across documents and not fail.
FAMILIES = (
    "bert",
    "camembert",
    "distilbert",
    "electra",
    "ernie",
    "eurobert",
    "modernbert",
    "nomic_bert",
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
)


def register() -> None:
    """Makes `PACKED` known to transformers; again is harmless."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(PACKED, _attention)
    AttentionMaskInterface.register(PACKED, sdpa_mask)


def _attention(
    module: "nn.Module",
    query_1HTE: Tensor,
    key_1HTE: Tensor,
    value_1HTE: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    packed_row: PackedRow | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it; `sliding_window` counts the token itself, as flash attention's does there."""
    if packed_row is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        options = others | {"dropout": dropout, "scaling": scaling}
        return sdpa_attention_forward(module, query_1HTE, key_1HTE, value_1HTE, attention_mask, **options)
    q_THE, k_THE, v_THE = (x[0].transpose(0, 1) for x in (query_1HTE, key_1HTE, value_1HTE))
    reach = None if sliding_window is None else sliding_window - 1
    return attend(q_THE, k_THE, v_THE, packed_row, reach=reach, scale=scaling, dropout=dropout)[None], None
