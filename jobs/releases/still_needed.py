"""What must stay: all that kept releases need, and the manifests that releases name or unfinished runs read.

Vacuum removes every other release, and an export every other manifest but the newest.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.releases.release import Release, releases
from tokensieve.jobs.releases.training_runs import known_runs

if TYPE_CHECKING:
    from tokensieve.jobs.config.corpus import Config
    from tokensieve.jobs.tables.store import Store


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The releases that stay and those that go, oldest first."""

    stay: tuple[Release, ...]
    go: tuple[Release, ...]

    @property
    def variants(self) -> set[str | None]:
        """Of all releases, also those that go."""
        return {release.variant for release in (*self.stay, *self.go)}

    def versions(self, table: str, variant: str | None) -> set[int]:
        """Versions of a table that a release needs. Each variant has a `masked` of its own, the others are shared."""
        return {release.tables[table] for release in self.stay if table != "masked" or release.variant == variant}

    @property
    def ledgers(self) -> set[str]:
        return {release.ledger for release in self.stay if release.ledger}

    @property
    def gone_manifests(self) -> set[str]:
        """Ids of shard manifests that only releases name that go."""
        return {release.manifest for release in self.go} - {release.manifest for release in self.stay}


def kept_releases(config: "Config") -> Kept:
    """The newest `refresh.keep_releases` of each variant, and the pinned ones. ConfigError for an unknown pin."""
    store = config.tables.store
    all_of_them = [Release.load(store, version) for version in releases(store)]
    unknown = set(config.refresh.pinned) - {release.version for release in all_of_them}
    if unknown:
        raise ConfigError(
            f"refresh.pinned: {sorted(unknown)} are no releases of {config.tables.root}; correct the list"
        )
    by_variant: dict[str | None, list[int]] = defaultdict(list)
    for release in all_of_them:
        by_variant[release.variant].append(release.version)
    newest = {version for some in by_variant.values() for version in some[-config.refresh.keep_releases :]}
    stay = newest | set(config.refresh.pinned)
    return Kept(
        stay=tuple(release for release in all_of_them if release.version in stay),
        go=tuple(release for release in all_of_them if release.version not in stay),
    )


def pinned_manifests(store: "Store") -> set[str]:
    """The ids that the releases of a root name. Raises InputError for a release that cannot be read."""
    return {Release.load(store, version).manifest for version in releases(store)}


def manifests_to_keep(config: "Config") -> set[str]:
    """The ids that `sweep` shall keep, beside the newest. Raises InputError."""
    pinned = {config.pretrain.manifest} if config.pretrain and config.pretrain.manifest else set()
    running = {id for run in known_runs(config) if not run.ended for id in run.manifests}
    return pinned_manifests(config.tables.store) | pinned | running
