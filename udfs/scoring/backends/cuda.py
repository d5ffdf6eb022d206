"""Packs on an NVIDIA GPU: weights in the compute dtype, variable-length attention, no wait but for values.

Ids travel on a stream of their own while the pack before them is computed, values travel back on a third, and both
through pinned memory, which torch's allocator hands out again as soon as its copies are done. So pack after pack can be
queued, and the device is idle only when nobody hands it one.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tokensieve.udfs.bundles.heads import ManyHeads
from tokensieve.udfs.scoring.backends.torch_packed import computed_rows

if TYPE_CHECKING:
    from tokensieve.udfs.bundles.bundle import Bundle


class CudaBackend:
    """The `Backend` of a GPU; memory that does not suffice raises torch.OutOfMemoryError (see `halving.py`)."""

    def __init__(
        self, members: "Sequence[Bundle]", *, device: str, dtype: str, compile: bool, token_budget: int
    ) -> None:
        """Loads the weights; `device` is `cuda` or `cuda:N`, `dtype` `bfloat16` or `float32`.

        `compile`: the blocks' parts around attention through torch.compile. `token_budget` is for whoever packs.
        """
        self.name = f"{device} {dtype}" + (" compiled" if compile else "")
        self.token_budget = token_budget
        self.out_of_memory = 0
        self._device = torch.device(device)
        self._encoder: Any = members[0].encoder(self._device, getattr(torch, dtype))
        self._heads = ManyHeads([bundle.heads(self._device) for bundle in members])
        if compile:
            from tokensieve.udfs.scoring.backends.compiled import compile_blocks

            compile_blocks(self._encoder)
        self._inward, self._compute, self._outward = (torch.cuda.Stream(self._device) for _ in range(3))
        # The weights were copied on the stream of this thread.
        self._compute.wait_stream(torch.cuda.current_stream(self._device))
        self._busy = _Busy()

    def submit(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> "PendingCuda":
        """As `Backend.submit`: queues the pack and returns without waiting for the device.

        Raises:
            torch.OutOfMemoryError: the device's memory does not suffice for it.
        """
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.inference_mode(), torch.cuda.device(self._device):
            ids = self._to_device(ids_P)
            with torch.cuda.stream(self._compute):
                began.record()
                values = self._heads(self._encoder(ids, torch.from_numpy(bounds_N1)))
                ended.record()
            host, copied = self._to_host(values, ended)
        span = _Span(began=began, ended=ended, copied=copied)
        return PendingCuda(computed_rows(self._encoder, bounds_N1), host, span, self._busy)

    def busy_seconds(self) -> float:
        """Seconds between the first and the last kernel of every pack whose values were asked for.

        What is left out is the time between packs; gaps between the kernels of one pack count as busy.
        """
        return self._busy.seconds

    def _to_device(self, ids_P: np.ndarray) -> Tensor:
        pinned = torch.from_numpy(ids_P).pin_memory()
        with torch.cuda.stream(self._inward):
            ids = pinned.to(self._device, non_blocking=True)
        self._compute.wait_stream(self._inward)
        ids.record_stream(self._compute)
        return ids

    def _to_host(self, values: Tensor, ended: torch.cuda.Event) -> tuple[Tensor, torch.cuda.Event]:
        copied = torch.cuda.Event()
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        with torch.cuda.stream(self._outward):
            self._outward.wait_event(ended)
            host.copy_(values, non_blocking=True)
            copied.record()
        values.record_stream(self._outward)
        return host, copied


class PendingCuda:
    """The `Pending` of a pack on the GPU; its values are asked for once."""

    def __init__(self, computed: int, host: Tensor, span: "_Span", busy: "_Busy") -> None:
        self.computed = computed
        self._host, self._span, self._busy = host, span, busy

    def values(self) -> np.ndarray:
        """As `Pending.values`: waits for this pack's copy and for nothing that was queued after it."""
        self._span.copied.synchronize()
        self._busy.add(self._span.began.elapsed_time(self._span.ended) / 1000)
        return self._host.numpy()


@dataclass(frozen=True, kw_only=True)
class _Span:
    """What the device passes for a pack: its first kernel, its last, and the end of the copy to the host."""

    began: torch.cuda.Event
    ended: torch.cuda.Event
    copied: torch.cuda.Event


class _Busy:
    """Seconds of all packs whose values were asked for, in whatever thread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds
