"""One block of a packed transformer: attention within each document, squared ReLU, no biases, norms before both.

It comes in two parts around attention, `before` and `after`, which have no shapes but the number of tokens: what
`torch.compile` can take whole, whatever the documents are.
"""

from torch import Tensor, nn
from torch.nn import functional

from tokensieve.udfs.encoders.attention import Rotary, attend, rotate
from tokensieve.udfs.packing.packed_row import PackedRow


class Block(nn.Module):
    """`heads` of dim / heads columns, `hidden` columns between `up` and `down`; `causal` and `reach` as in `attend`."""

    def __init__(
        self,
        *,
        norms: tuple[nn.Module, nn.Module],
        dim: int,
        heads: int,
        hidden: int,
        causal: bool = False,
        reach: int | None = None,
    ) -> None:
        """`norms`: before attention and before the hidden layer. Weights are fresh as torch makes them."""
        super().__init__()
        self.heads, self.causal, self.reach = heads, causal, reach
        self.norm_attention, self.norm_hidden = norms
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x_TD: Tensor, row: PackedRow, tables: Rotary) -> Tensor:
        """The residual stream [T, dim] after the block."""
        q_THE, k_THE, v_THE = self.before(x_TD, tables)
        return self.after(x_TD, attend(q_THE, k_THE, v_THE, row, causal=self.causal, reach=self.reach))

    def before(self, x_TD: Tensor, tables: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [T, H, E] each."""
        q_THE, k_THE, v_THE = self.qkv(self.norm_attention(x_TD)).view(x_TD.shape[0], 3, self.heads, -1).unbind(1)
        return rotate(q_THE, tables), rotate(k_THE, tables), v_THE

    def after(self, x_TD: Tensor, mixed_THE: Tensor) -> Tensor:
        """The residual stream [T, dim], from that before the block and what attention has mixed, [T, H, E]."""
        x_TD = x_TD + self.out(mixed_THE.flatten(1))
        return x_TD + self.down(functional.relu(self.up(self.norm_hidden(x_TD))).square())
