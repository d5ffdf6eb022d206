"""Gathers what a night does, so that refresh.json says it however the night ends."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from jobs.errors import VerbError
from jobs.policies import content_id
from jobs.refreshing.night import Night, SourceChanges, State, Step
from jobs.refreshing.release import Release

if TYPE_CHECKING:
    from jobs.config import Config


class Recorder:
    """The night so far: `night`, a failed one until it has ended. What ends its `with` early is published."""

    def __init__(self, config: "Config") -> None:
        self._config = config
        now = datetime.now(UTC)
        self.night = Night(
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
        from jobs.refreshing.report.publish import publish_failure

        code = error.exit_code if isinstance(error, VerbError) else 1
        night = self.ended("failed", error=str(error), error_kind=type(error).__name__, exit_code=code)
        publish_failure(self._config, night)

    def note(self, **fields: Any) -> None:
        """Sets fields of the night."""
        self.night = Night.model_validate({**dict(self.night), **fields})

    def of_release(self, release: Release, previous: Release | None, changes: SourceChanges) -> None:
        """The night ends with this release."""
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
        self.note(ran=(*self.night.ran, name))
        try:
            yield
        finally:
            self.note(seconds={**self.night.seconds, name: round(time.monotonic() - began, 3)})

    def ended(self, state: State, **fields: Any) -> Night:
        """The night as it has ended now."""
        self.note(state=state, ended_at=datetime.now(UTC), **fields)
        return self.night
