"""What happened in one refresh, as plain values: the model behind `refresh.json`, the page and the metrics.

What is new, changed or gone is the difference of two releases, not what this process happened to do: a refresh that was
killed and run again reports all of it. Names of files come from the source and are hostile until escaped.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

State = Literal["done", "nothing_new", "failed"]
Step = Literal["score", "mask", "export", "release", "report"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceChanges(_Record):
    """Source files against the previous release, each name in at most one of the first five, all in order of name."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Another version of the file under the same name."""
    gone: tuple[str, ...] = ()
    """In the previous release, but no longer in the tables: deleted under `refresh.deleted: retract`, or excluded."""
    missing: tuple[str, ...] = ()
    """No longer in the source, their rows kept: `refresh.deleted: keep`."""
    rescored: tuple[str, ...] = ()
    """The same version, rows written again: a replay, another bundle, or a duplicate elsewhere that came or went."""
    kept: int = 0
    """Files whose rows were left alone."""
    broken: Mapping[str, str] = {}
    """Every file of the release that could not be taken, to "reason: detail"; it may also be new or changed."""


class Gate(_Record):
    """Quarantine among the documents of source files that were written since the previous release; what that release
    had in quarantine of the same files does not count."""

    documents: int
    quarantined: int
    tolerance: float
    """Largest share that passes: `score.quarantine_tolerance`."""

    @property
    def share(self) -> float:
        return self.quarantined / self.documents if self.documents else 0.0

    @property
    def passes(self) -> bool:
        return self.share <= self.tolerance


class DeviceUse(_Record):
    """What scoring took in this run (`jobs.scoring.snapshot.device_figures`); nothing of an earlier, killed run."""

    devices: int
    """How many had a task at the same time, at most."""
    tokens_per_s: float
    """Classifier tokens a second and device, while it had a task."""
    device_s: float
    """Seconds in which a device had a task, summed over devices."""
    dollars: float | None
    """None where `score.cost.dollars_per_device_hour` is not set."""


class RefreshRun(_Record):
    """One run of `tokensieve refresh`. Counts are of whole tables; None or empty where it did not get so far."""

    format: Literal["tokensieve-night/1"] = "tokensieve-night/1"
    state: State
    error: str | None = None
    """Of a failed refresh: what, where, why, what to do next."""
    error_kind: str | None = None
    """The error's class, such as QuarantineError."""
    exit_code: int = 0
    started_at: datetime
    ended_at: datetime
    host: str
    config_id: str
    """Names the resolved configuration, as `--show-config` prints it."""
    release: int | None = None
    """The newest release when the refresh ended; None: there is none yet."""
    previous: int | None = None
    """The release before it, which differences are taken against; None: there was none."""
    ran: tuple[Step, ...] = ()
    """Steps that were due, in order, also where a killed refresh before had done them already."""
    seconds: Mapping[Step, float] = {}
    """Wall time of each step of `ran`."""
    scored: tuple[str, ...] = ()
    """Source files that a classifier read in this run."""
    sources: SourceChanges = SourceChanges()
    gate: Gate | None = None
    documents: Mapping[str, int] = {}
    """in, keep, mask, hide, drop, quarantine; the first is the sum of the others."""
    reasons: Mapping[str, int] = {}
    """Quarantined documents by reason."""
    tokens: int | None = None
    """Pretraining tokens in the shards, ends of documents counted."""
    loss_tokens: int | None = None
    device: DeviceUse | None = None

    @property
    def duration_s(self) -> float:
        return (self.ended_at - self.started_at).total_seconds()
