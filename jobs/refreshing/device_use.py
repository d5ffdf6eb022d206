"""What scoring took of the devices, and what that costs."""

from collections.abc import Mapping

from jobs.refreshing.night import DeviceUse
from jobs.scoring.cost import CostConfig


def device_use(figures: Mapping[str, float] | None, price: CostConfig) -> DeviceUse | None:
    """`figures` are those of `jobs.scoring.snapshot.device_figures`; None: nothing was scored."""
    if figures is None:
        return None
    dollars = price.dollars_per_device_hour
    return DeviceUse(
        devices=int(figures["devices"]),
        tokens_per_s=figures["tokens_per_s"],
        device_s=figures["device_s"],
        dollars=None if dollars is None else figures["device_s"] / 3_600 * dollars,
    )
