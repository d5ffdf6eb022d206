"""Which manifests stay beside the newest: those that releases name, and those that runs read which have not ended."""

from typing import TYPE_CHECKING

from jobs.refreshing.release import Release, releases
from jobs.tracing.runs import known_runs

if TYPE_CHECKING:
    from jobs.config import Config
    from jobs.store import Store


def pinned_manifests(store: "Store") -> set[str]:
    """The ids that the releases of a root name. Raises InputError for a release that cannot be read."""
    return {Release.load(store, version).manifest for version in releases(store)}


def manifests_to_keep(config: "Config") -> set[str]:
    """The ids that `sweep` shall keep, beside the newest. Raises InputError."""
    pinned = {config.pretrain.manifest} if config.pretrain and config.pretrain.manifest else set()
    running = {id for run in known_runs(config) if not run.ended for id in run.manifests}
    return pinned_manifests(config.tables.store) | pinned | running
