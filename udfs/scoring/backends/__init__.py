"""Back ends: packs of windows in, what every head says of every token out.

One interface, so that packing, windows and codecs do not know what computes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from udfs.bundle import Bundle

BackendName = Literal["torch", "compile"]


class Pending(Protocol):
    """A pack that was handed to a device."""

    @property
    def computed(self) -> int:
        """Rows of tokens that the device computes for it, padding included."""
        ...

    def values(self) -> np.ndarray:
        """float32 [P, 2 * policies], each policy's token logit and its share of the document's logit; waits for it."""
        ...


class Backend(Protocol):
    """One encoder and the heads of all policies that share it, on one device.

    Attributes:
        name: for people and logs, such as `torch float32`.
        token_budget: the most tokens of a pack that it can take now; falls when the device's memory does not suffice.
        out_of_memory: how often the device's memory did not suffice.
    """

    name: str
    token_budget: int
    out_of_memory: int

    def submit(self, ids_P: np.ndarray, bounds_N1: np.ndarray) -> Pending:
        """Hands over a pack of N windows, longest first: ids int64 [P] and the windows' bounds int64 [N + 1]."""
        ...

    def busy_seconds(self) -> float:
        """Seconds that the device has computed since the back end was made."""
        ...


def build_backend(
    name: BackendName, members: "Sequence[Bundle]", *, device: str, dtype: str, threads: int, token_budget: int
) -> Backend:
    """The back end of bundles that share one encoder.

    Args:
        device: `cpu`, `cuda` or `cuda:N`. dtype: `float32` or `bfloat16`.
        threads: cores for one forward pass on a CPU. token_budget: tokens of the largest pack.

    Raises:
        ImportError: torch is not installed.
        ValueError: `compile` for an encoder that is not made of blocks that can be compiled.
    """
    if device != "cpu":
        from udfs.scoring.backends.cuda import CudaBackend
        from udfs.scoring.backends.halving import Halving

        cuda = CudaBackend(members, device=device, dtype=dtype, compile=name == "compile", token_budget=token_budget)
        return Halving(cuda)
    import torch

    from udfs.scoring.backends.torch_packed import TorchPacked

    torch.set_num_threads(threads)
    return TorchPacked(members, dtype=dtype, compile=name == "compile", token_budget=token_budget)
