"""What the command `refresh` does with its options, and what it prints."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import ConfigError
from jobs.refreshing.night import Night

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.config import Config


def refresh(
    config: "Config",
    session: "Callable[[], SparkSession]",
    *,
    dry_run: bool = False,
    replay: bool = False,
    as_of: int | None = None,
    rebuild: Path | None = None,
) -> dict[str, Any]:
    """Raises ConfigError for options that exclude each other, and what the night, or the release, raises."""
    if as_of is None:
        if rebuild is not None:
            raise ConfigError("--rebuild needs --as-of VERSION, the release whose shards it makes")
        if dry_run:
            from jobs.refreshing.dry_run import dry_run as look

            return look(config, replay)
        from jobs.refresh import run

        return _said(run(config, session, replay=replay))
    if dry_run or replay:
        raise ConfigError("--as-of shows a release that was made; --dry-run and --replay are about the next one")
    from jobs.refreshing import as_of as past

    return past.show(config, as_of) if rebuild is None else past.rebuild(config, session, as_of, rebuild)


def _said(night: Night) -> dict[str, Any]:
    """The night in a few lines; refresh.json has all of it."""
    changes = night.sources
    kinds = ("new", "changed", "gone", "missing", "rescored", "broken")
    counts = {name: len(getattr(changes, name)) for name in kinds}
    return {
        "state": night.state,
        "release": night.release,
        "sources": counts | {"kept": changes.kept},
        "documents": dict(night.documents),
        "tokens": night.tokens,
        "loss_tokens": night.loss_tokens,
        **({"seconds": dict(night.seconds)} if night.seconds else {}),
        "duration_s": round(night.duration_s, 3),
    }
