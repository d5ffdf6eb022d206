"""Verbs `maintain compact` and `maintain vacuum`: keep the tables of a nightly refresh small. Both take its lock.

Nothing that a kept release names is touched, so what training reads and `refresh --as-of` shows stays as it is. Delta
forgets by age: of a Delta table all versions since the oldest kept one stay.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.errors import BusyError
from tokensieve.jobs.exporting.publish import sweep
from tokensieve.jobs.releases.release import FOLDER as RELEASES
from tokensieve.jobs.releases.release import Release, newest_release, releases
from tokensieve.jobs.releases.still_needed import Kept, kept_releases, manifests_to_keep
from tokensieve.jobs.tables.ledger import FOLDER as LEDGERS
from tokensieve.jobs.tables.lock import locked
from tokensieve.jobs.tables.quarantine import pinned_version
from tokensieve.jobs.tables.table import Commit, Table
from tokensieve.pretrain.shards.manifest import FILE_NAME as MANIFEST

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.config.corpus import Config

COMPACTED = ("scores", "masked")  # quarantine is written whole each time


def compact(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Writes the newest version of each table into few files, and releases that: same rows, same shards.

    Raises BusyError when a refresh runs, InputError when a table is missing.
    """
    with locked(config.tables.store, config.refresh.lock_lease_s, "maintain compact"):
        previous = newest_release(config.tables.store, config.tables.variant)
        before = _newest(config)
        done = {name: config.tables.table(name).compact(spark, dry_run=False) for name in COMPACTED}
        after = _newest(config)
        if previous is not None and before != after and all(previous.tables[name] == before[name] for name in before):
            return {"release": _released(config, previous, after), **done}
        return done


def compactable(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """What `compact` would do; writes nothing."""
    return {name: config.tables.table(name).compact(spark, dry_run=True) for name in COMPACTED}


def vacuum(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """Removes releases beyond `refresh.keep_releases` that are not pinned, and all that only they need.

    Raises BusyError when a refresh runs, ConfigError for a pin that is no release.
    """
    with locked(config.tables.store, config.refresh.lock_lease_s, "maintain vacuum"):
        return _vacuum(config, spark, dry_run=False)


def removable(config: "Config", spark: "SparkSession") -> dict[str, Any]:
    """What `vacuum` would remove; removes nothing."""
    return _vacuum(config, spark, dry_run=True)


def _newest(config: "Config") -> dict[str, int | None]:
    commits = {name: config.tables.table(name).commit() for name in COMPACTED}
    return {name: commit.version if commit else None for name, commit in commits.items()}


def _released(config: "Config", previous: Release, tables: dict[str, int | None]) -> int:
    """The version of a release that differs from the previous one in its tables' versions alone."""
    store = config.tables.store
    version = releases(store)[-1] + 1
    moved = {"version": version, "made_at": datetime.now(UTC), "tables": {**previous.tables, **tables}}
    if not previous.model_copy(update=moved).create(store):
        raise BusyError(f"{store.uri()}: another process made release {version} meanwhile; run `tokensieve refresh`")
    return version


def _vacuum(config: "Config", spark: "SparkSession", dry_run: bool) -> dict[str, Any]:
    """Releases go first: what a kill leaves behind is then named by none, and the next vacuum finds it."""
    kept, store = kept_releases(config), config.tables.store
    ledgers = _old_ledgers(config, kept)
    removed = [f"{RELEASES}/{release.version:08d}.json" for release in kept.go]
    if not dry_run:
        for name in removed:
            store.delete(name)
    for table, versions in _tables(config, kept):
        removed += table.vacuum(spark, versions, dry_run)
    files = [f"{LEDGERS}/{ledger}.parquet" for ledger in ledgers]
    if not dry_run:
        for name in files:
            store.delete(name)
    removed += files + _sweep_shards(config, kept, dry_run)
    return {"removed": len(removed), "files": removed, "lines": [*removed, f"{_said(dry_run)}: {len(removed)}"]}


def _said(dry_run: bool) -> str:
    return "would be removed" if dry_run else "removed"


def _tables(config: "Config", kept: Kept) -> list[tuple[Table, set[int]]]:
    """Every table of the root with the versions that it keeps beside the newest."""
    scores = config.tables.table("scores").commit()
    pinned = set() if scores is None else {pinned_version(scores)}
    found = [
        (config.tables.table("scores"), kept.versions("scores", None)),
        (config.tables.table("quarantine"), kept.versions("quarantine", None) | pinned),
    ]
    for variant in kept.variants:
        found.append((config.of_variant(variant).tables.table("masked"), kept.versions("masked", variant)))
    return [(table, versions) for table, versions in found if table.newest() is not None]


def _old_ledgers(config: "Config", kept: Kept) -> list[str]:
    """Ledgers that old commits name and kept ones do not. One that no commit names may be of a job that runs."""
    named: dict[bool, set[str]] = {True: set(kept.ledgers), False: {one.ledger for one in kept.go if one.ledger}}
    for table, versions in _tables(config, kept):
        newest = table.commit()
        for version in table.versions():
            commit = table.commit(version)
            stays = version in versions or (newest is not None and version == newest.version)
            named[stays] |= _ledger(commit)
    return sorted(named[False] - named[True])


def _ledger(commit: Commit | None) -> set[str]:
    return {commit.ledger} if commit and commit.ledger else set()


def _sweep_shards(config: "Config", kept: Kept, dry_run: bool) -> list[str]:
    removed, keep = [], manifests_to_keep(config) - (kept.gone_manifests if dry_run else set())
    for variant in sorted(kept.variants, key=str):
        folder = config.of_variant(variant).shards
        if (folder / MANIFEST).is_file():
            removed += [f"{folder}/{name}" for name in sweep(folder, keep, dry_run)]
    return removed
