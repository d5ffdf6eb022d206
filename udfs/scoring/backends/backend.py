"""What computes: packs of windows in, what every head says of every token out.

One interface, so that packing, windows and codecs do not know what computes. One file per kind, so that one kind never
imports the libraries of another.
"""

from typing import Literal, Protocol

import numpy as np

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
