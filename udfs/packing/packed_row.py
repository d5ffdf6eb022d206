"""Where the documents of one packed row lie: what every block of an encoder asks about a pack, worked out once.

The bounds stay on the host, so their lengths are known there without waiting for a GPU; what a kernel reads of them is
copied to the device once, in stream order. A caller with bounds on a GPU pays one wait for them.
"""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


class PackedRow:
    """D documents end to end in T tokens; empty ones have no row and are left out.

    Attributes:
        device: where the tokens lie. lengths_D: tokens of every document, int64, on the host.
    """

    def __init__(self, bounds_D1: Tensor, device: torch.device) -> None:
        """`bounds_D1`: int64 [D + 1] from 0, ascending, best on the CPU."""
        self.device = device
        self._bounds = np.unique(bounds_D1.numpy(force=True)).astype(np.int64)
        self.lengths_D = np.diff(self._bounds)
        self._near: dict[int, Tensor] = {}

    @property
    def total(self) -> int:
        """T."""
        return int(self._bounds[-1])

    @property
    def longest(self) -> int:
        """Tokens of the longest document, 0 without any."""
        return int(self.lengths_D.max(initial=0))

    @cached_property
    def groups(self) -> list[tuple[int, int]]:
        """(documents, length) of neighbours of equal length, in the row's order."""
        first_G = np.flatnonzero(np.diff(self.lengths_D, prepend=0))
        counts_G = np.diff(first_G, append=len(self.lengths_D))
        return list(zip(counts_G.tolist(), self.lengths_D[first_G].tolist(), strict=True))

    @cached_property
    def bounds_D1(self) -> Tensor:
        """Bounds of the documents that are not empty, int32 on the device."""
        bounds = torch.from_numpy(self._bounds.astype(np.int32))
        # Only a copy from pinned memory leaves the host free while the device is busy.
        return bounds.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else bounds

    @cached_property
    def position_T(self) -> Tensor:
        """Every token's place in its document, int64 on the device."""
        return self._row_T - self._of_documents(self.bounds_D1[:-1])

    @cached_property
    def document_T(self) -> Tensor:
        """Every token's document, int64 on the device."""
        return self._of_documents(torch.arange(len(self.lengths_D), device=self.device))

    @cached_property
    def mirror_T(self) -> Tensor:
        """Rows that reverse every document in its place, int64 on the device; applied twice they change nothing."""
        return self._of_documents(self.bounds_D1[:-1] + self.bounds_D1[1:] - 1) - self._row_T

    def near(self, reach: int) -> Tensor:
        """Who sees whom when the row is cut into B blocks of w = `reach` tokens: bool [B, w, 3w] on the device.

        The 3w are those of `three`. Rows that fill the last block are a document of their own, so that every row of a
        softmax has a token: itself.
        """
        if reach not in self._near:
            fill = -self.total % reach
            row_Bw = torch.arange(self.total + fill, device=self.device).view(-1, reach)
            doc_Bw = functional.pad(self.document_T, (0, fill), value=-2).view(-1, reach)
            close = (row_Bw[:, :, None] - three(row_Bw, -reach - 1)[:, None, :]).abs() <= reach
            self._near[reach] = close & (doc_Bw[:, :, None] == three(doc_Bw, -1)[:, None, :])
        return self._near[reach]

    @cached_property
    def _row_T(self) -> Tensor:
        return torch.arange(self.total, device=self.device)

    def _of_documents(self, value_D: Tensor) -> Tensor:
        # The size is given, so that the device need not be asked for the sum of the lengths.
        return torch.repeat_interleave(value_D.long(), self.bounds_D1.diff().long(), output_size=self.total)


def three(x_Bw: Tensor, fill: int) -> Tensor:
    """[B, w, ...] to [B, 3w, ...]: each block with its neighbours; `fill` stands before the first, after the last."""
    edge = x_Bw.new_full((1, *x_Bw.shape[1:]), fill)
    return torch.cat([torch.cat([edge, x_Bw[:-1]]), x_Bw, torch.cat([x_Bw[1:], edge])], dim=1)
