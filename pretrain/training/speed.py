"""How fast a step was: tokens per second, and model FLOPs utilisation (MFU) where the device's peak is known.

MFU counts the FLOPs that the model needs, not those that recomputation or padding add (Chowdhery et al. 2022,
arXiv 2204.02311, appendix B).
"""

from dataclasses import dataclass

# Dense bf16 peaks in FLOP/s from NVIDIA's data sheets, by a part of torch's device name.
PEAKS = {"H200": 989.5e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989.5e12, "A100": 312e12}


def known_peak(device_name: str) -> float | None:
    """The dense bf16 peak of a GPU, FLOP/s; None for one that is not listed."""
    return next((peak for name, peak in PEAKS.items() if name in device_name), None)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """`flops_per_token`: forward and backward; `peak`: of one device, None where it is not known."""

    flops_per_token: float
    devices: int
    peak: float | None

    def tokens_per_second(self, tokens: int, seconds: float) -> float:
        return tokens / seconds

    def mfu(self, tokens: int, seconds: float) -> float | None:
        """Share of the peak that the step's own FLOPs used."""
        if self.peak is None:
            return None
        return self.flops_per_token * tokens / seconds / (self.devices * self.peak)
