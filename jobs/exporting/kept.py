"""Which manifests stay beside the newest one: those that releases name, and the one that a run is pinned to."""

from typing import TYPE_CHECKING

from jobs.refreshing.release import Release, releases

if TYPE_CHECKING:
    from jobs.config import Config
    from jobs.store import Store


def pinned_manifests(store: "Store") -> set[str]:
    """The ids that the releases of a root name. Raises InputError for a release that cannot be read."""
    return {Release.load(store, version).manifest for version in releases(store)}


def manifests_to_keep(config: "Config") -> set[str]:
    """The ids that `sweep` shall keep, beside the newest. Raises InputError."""
    pinned = config.pretrain.manifest if config.pretrain else None
    return pinned_manifests(config.tables.store) | ({pinned} if pinned else set())
