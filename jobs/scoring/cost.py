"""Section `score.cost`: what a device costs; and from tokens to hours and dollars."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class CostConfig(BaseModel):
    """Section `score.cost`, for --dry-run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: int = Field(default=1, ge=1)
    """How many devices score at a time: GPUs, or task slots of a CPU cluster."""
    dollars_per_device_hour: float | None = Field(default=None, ge=0)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What scoring takes; dollars None where no price is set. Reading and writing are not in it, nor start-up."""

    device_hours: float
    wall_hours: float
    dollars: float | None


def cost(tokens: float, tokens_per_s: float, config: CostConfig) -> Cost:
    """The cost of so many classifier tokens at so many a second and device."""
    hours = tokens / tokens_per_s / 3_600
    price = config.dollars_per_device_hour
    return Cost(
        device_hours=hours,
        wall_hours=hours / config.devices,
        dollars=None if price is None else hours * price,
    )
