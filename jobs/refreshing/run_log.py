"""Gathers what a refresh does, so that refresh.json says it however the refresh ends.

What scoring took of the devices is part of it, and what that costs.
"""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from tokensieve.jobs.config.score import CostConfig
from tokensieve.jobs.errors import VerbError
from tokensieve.jobs.releases.refresh_run import DeviceUse, RefreshRun, SourceChanges, State, Step
from tokensieve.jobs.releases.release import Release
from tokensieve.udfs.files.content_id import content_id

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config


class Recorder:
    """The refresh so far: `run`, a failed one until it has ended. What ends its `with` early is published."""

    def __init__(self, config: "Config") -> None:
        self._config = config
        now = datetime.now(UTC)
        self.run = RefreshRun(
            state="failed",
            started_at=now,
            ended_at=now,
            host=socket.gethostname(),
            config_id=content_id(config.model_dump(mode="json")),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        from tokensieve.jobs.refreshing.publish import publish_failure

        code = error.exit_code if isinstance(error, VerbError) else 1
        run = self.ended("failed", error=str(error), error_kind=type(error).__name__, exit_code=code)
        publish_failure(self._config, run)

    def note(self, **fields: Any) -> None:
        """Sets fields of the refresh."""
        self.run = RefreshRun.model_validate({**dict(self.run), **fields})

    def of_release(self, release: Release, previous: Release | None, changes: SourceChanges) -> None:
        """The refresh ends with this release."""
        self.note(
            release=release.version,
            previous=previous.version if previous else None,
            sources=changes,
            documents=release.documents,
            reasons=release.reasons,
            tokens=release.tokens,
            loss_tokens=release.loss_tokens,
        )

    @contextmanager
    def step(self, name: Step) -> Iterator[None]:
        """Times a step that has something to do."""
        began = time.monotonic()
        self.note(ran=(*self.run.ran, name))
        try:
            yield
        finally:
            self.note(seconds={**self.run.seconds, name: round(time.monotonic() - began, 3)})

    def ended(self, state: State, **fields: Any) -> RefreshRun:
        """The refresh as it has ended now."""
        self.note(state=state, ended_at=datetime.now(UTC), **fields)
        return self.run


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
