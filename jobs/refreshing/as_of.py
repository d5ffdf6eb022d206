"""A past release: what it holds, what of it is still there, and its shards made again from that."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.refreshing.sources import broken
from tokensieve.jobs.releases.release import Release, newest_release
from tokensieve.jobs.tables.ledger import FOLDER as LEDGERS
from tokensieve.jobs.tables.ledger import Ledger, sources_of
from tokensieve.jobs.tables.store import Store
from tokensieve.pretrain.errors import ManifestError
from tokensieve.pretrain.shards.manifest import Manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tokensieve.jobs.config.corpus import Config


def show(config: "Config", version: int) -> dict[str, Any]:
    """The release with its source files, and whether each part of it can still be read. Opens no Spark session.

    Raises InputError when there is no such release.
    """
    store, release = config.tables.store, Release.load(config.tables.store, version)
    past = config.of_variant(release.variant)
    newest = newest_release(store, release.variant)
    ledger = Ledger.of(store, release) if _ledger_is_there(store, release) else None
    there: dict[str, bool | None] = {
        f"{name} version {number}": number in past.tables.table(name).versions()
        for name, number in release.tables.items()
    }
    if release.ledger:
        there[f"ledger {release.ledger}"] = ledger is not None
    there |= _shards(past.shards, release.manifest)
    return {
        "release": release.model_dump(mode="json"),
        "newest": newest is not None and newest.version == version,
        "files": {name: source.version for name, source in sources_of(ledger).items()},
        "broken": broken(ledger),
        "there": there,
        "lines": _lines(release, there),
    }


def rebuild(config: "Config", session: "Callable[[], SparkSession]", version: int, folder: Path) -> dict[str, Any]:
    """Makes exactly the release's manifest and shards in a folder, new or empty.

    Raises InputError when there is no such release, or the tables that it names are gone or make other shards.
    """
    from tokensieve.jobs.exporting.rebuild import rebuild as make

    release = Release.load(config.tables.store, version)
    past = config.of_variant(release.variant)
    return make(past, session(), release.manifest, release.tables["masked"], folder)


def _ledger_is_there(store: Store, release: Release) -> bool:
    return release.ledger is not None and store.exists(f"{LEDGERS}/{release.ledger}.parquet")


def _shards(folder: Path, manifest: str) -> dict[str, bool | None]:
    """Whether the manifest and all its files are in the shard folder; None where the manifest could not be asked."""
    try:
        files = Manifest.load(folder, manifest).files()
    except ManifestError:
        return {f"manifest {manifest}": False, "shards": None}
    return {f"manifest {manifest}": True, "shards": all((folder / name).is_file() for name in files)}


def _lines(release: Release, there: dict[str, bool | None]) -> list[str]:
    said = {True: "there", False: "gone", None: "unknown"}
    counts = ", ".join(f"{name} {count:,}" for name, count in release.documents.items())
    width = max(map(len, there))
    return [
        f"release {release.version} of {release.made_at:%Y-%m-%d %H:%M:%S} UTC"
        + (f", variant {release.variant}" if release.variant else ""),
        f"  sources    {release.sources:,}, of which {release.broken:,} could not be taken",
        f"  documents  {counts}",
        f"  tokens     {release.tokens:,}, with a loss {release.loss_tokens:,}",
        f"  rules      {release.rule_id}",
        *(f"  bundle     {policy}: {release.bundle_names[policy]} {id}" for policy, id in release.bundles.items()),
        *(f"  {name:<{width}}  {said[state]}" for name, state in there.items()),
    ]
