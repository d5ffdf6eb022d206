"""Section `refresh`: what becomes of sources that vanished, how long the lock lasts, what is kept of the past."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.refreshing.report.drift import DriftConfig

Deleted = Literal["keep", "retract"]


class RefreshConfig(BaseModel):
    """Section `refresh`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deleted: Deleted = "keep"
    """What happens to the documents of a source file that vanished. keep: they stay, so that a source that is emptied
    or not mounted costs nothing; retract: they leave the tables and later shards. `source.exclude` always retracts."""
    lock_lease_s: float = Field(default=300, ge=1)
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
