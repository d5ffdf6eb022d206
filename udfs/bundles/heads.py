"""Heads: from an encoder's features to the logits of tokens and, averaged, of documents.

A linear head is a vector; the MLP has one hidden layer. Heads read raw features: what a recipe fitted on standardised
ones is folded into the weights, so no bundle carries a mean and a scale beside them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tokensieve.udfs.bundles import bundle_spec as spec


class LinearHead(nn.Module):
    """Logits [T] of features [T, K]: weight [K], bias [1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x_TK: Tensor) -> Tensor:
        return x_TK @ self.weight + self.bias

    @torch.no_grad()
    def fold(self, mean_K: Tensor, scale_K: Tensor) -> None:
        """Changes weights fitted on (x - mean) / scale into weights for x."""
        self.weight.div_(scale_K)
        self.bias.sub_(self.weight @ mean_K)


class MlpHead(nn.Module):
    """Logits [T] of features [T, K] over one hidden layer; `activation` is gelu or relu."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, 1)
        self.activation = {"gelu": functional.gelu, "relu": functional.relu}[activation]

    def forward(self, x_TK: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x_TK)))[:, 0]

    @torch.no_grad()
    def fold(self, mean_K: Tensor, scale_K: Tensor) -> None:
        """Changes weights fitted on (x - mean) / scale into weights for x."""
        self.up.weight.div_(scale_K)
        self.up.bias.sub_(self.up.weight @ mean_K)


def build_head(head: "spec.LinearHead | spec.MlpHead", width: int) -> "LinearHead | MlpHead":
    """A fresh head for features of that width."""
    if isinstance(head, spec.MlpHead):
        return MlpHead(width, head.hidden, head.activation)
    return LinearHead(width)


class Heads(nn.Module):
    """One classifier's heads; the state's names are those of heads.safetensors."""

    def __init__(self, specs: "spec.HeadSpecs", width: int) -> None:
        super().__init__()
        self.token = build_head(specs.token, width)
        self.document = LinearHead(width)

    def forward(self, x_TK: Tensor) -> Tensor:
        """[T, 2] of features [T, K]: token logits, and what is averaged to the document's logit."""
        return torch.stack([self.token(x_TK), self.document(x_TK)], dim=1)


class ManyHeads(nn.Module):
    """The heads of P classifiers, of whatever kinds, on one encoder's features."""

    def __init__(self, heads: Sequence[Heads]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x_TK: Tensor) -> Tensor:
        """[T, 2P] of features [T, K], computed in float32: each classifier's two columns in turn."""
        return torch.cat([heads(x_TK.float()) for heads in self.heads], dim=1)
