"""Section `refresh`: what becomes of sources that vanished, how long the lock lasts, what is kept of the past."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tokensieve.jobs.tables.lock import LEASE_S

Deleted = Literal["keep", "retract"]


class DriftConfig(BaseModel):
    """Section `refresh.drift`: how different this refresh's document scores may be from those of earlier refreshes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn: float = Field(default=0.1, gt=0)
    """Population stability index above which a policy's scores are said to have moved."""
    alarm: float = Field(default=0.25, gt=0)
    """Index above which they are another distribution."""
    min_documents: int = Field(default=500, ge=1)
    """Fewer on either side are not judged: by chance alone the index of 500 against many is about 0.03."""

    @model_validator(mode="after")
    def _ordered(self) -> "DriftConfig":
        if self.alarm < self.warn:
            raise ValueError(f"alarm {self.alarm} is below warn {self.warn}")
        return self


class RefreshConfig(BaseModel):
    """Section `refresh`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deleted: Deleted = "keep"
    """What happens to the documents of a source file that vanished. keep: they stay, so that a source that is emptied
    or not mounted costs nothing; retract: they leave the tables and later shards. `source.exclude` always retracts."""
    lock_lease_s: float = Field(default=LEASE_S, ge=1)
    """Seconds without a sign of life after which another host may take the lock over; renewed four times as often."""
    keep_releases: int = Field(default=30, ge=1)
    """How many of the newest releases `maintain vacuum` keeps whole, of each `tables.variant`."""
    pinned: tuple[int, ...] = ()
    """Versions of further releases that it keeps, such as those of training runs."""
    drift: DriftConfig = DriftConfig()
    metrics_file: str | None = Field(default=None, pattern=r"\.prom$")
    """A copy of `<tables.root>/metrics.prom` on this machine, such as in the folder of node_exporter's textfile
    collector, which reads only names that end in .prom."""
    hook: tuple[str, ...] = ()
    """A command with its arguments, run at the end of each night with refresh.json on standard input; no shell."""
    hook_timeout_s: float = Field(default=60, gt=0)
    """Seconds after which the hook and what it started are killed."""
