"""Where the source and the tables are, for `tokensieve doctor`: whether they can be read and written, and with what."""

import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.check import Check
from jobs.errors import VerbError
from jobs.scoring.remote_files import remote_size
from jobs.scoring.source import source_path
from jobs.store_connector import connector_packages, s3_places
from udfs.storage import StoreError, is_remote

if TYPE_CHECKING:
    from jobs.config import Config


def check_places(config: "Config") -> Iterator[Check]:
    """The source, the tables' root, and what Spark needs where they are on S3."""
    source, size = _source(config)
    yield source
    yield from _local_root(config, size) if config.tables.store.local else _root_on_store(config)
    yield from _connector(config)


def _source(config: "Config") -> tuple[Check, int]:
    """And its bytes."""
    path = source_path(config.source)
    try:
        size = remote_size(path, config.source.storage) if is_remote(path) else _size(Path(path))
    except (VerbError, StoreError) as error:
        advice = "look at source.path, source.storage, the network and the credentials in the environment"
        return Check(name="source", ok=False, found=str(error), advice=advice), 0
    found = f"{path}, {size / 1e6:,.1f} MB" if size else f"nothing at {path}"
    return Check(name="source", ok=size > 0, found=found, advice="set source.path to a file, a folder or a glob"), size


def _local_root(config: "Config", source_bytes: int) -> Iterator[Check]:
    folder = config.tables.folder
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    yield Check(
        name="disk",
        ok=free >= 2 * source_bytes,
        found=f"{free / 1e9:,.1f} GB free at {folder}, twice the source is {2 * source_bytes / 1e9:,.3f} GB",
        advice="free some space, or set tables.root to another disk",
    )
    yield Check(
        name="tables.root",
        ok=os.access(folder, os.W_OK),
        found=f"{config.tables.folder} can{'' if os.access(folder, os.W_OK) else 'not'} be written",
        advice="set tables.root to a folder that you may write to",
    )


def _root_on_store(config: "Config") -> Iterator[Check]:
    """Puts a small object there and removes it."""
    name = f"_probe/{uuid.uuid4().hex}"
    try:
        config.tables.store.create(name, b"")
        config.tables.store.delete(name)
    except VerbError as error:
        advice = "look at tables.root, tables.storage, the network and the credentials in the environment"
        yield Check(name="tables.root", ok=False, found=str(error), advice=advice)
        return
    yield Check(name="tables.root", ok=True, found=f"{config.tables.root} can be written, and holds put-if-absent")
    yield Check(
        name="export.folder",
        ok=config.export.folder is not None,
        found=config.export.folder or "not set",
        advice="tables.root is on a store and shards are not: name a local or mounted folder before you export",
        needed=False,
    )


def _connector(config: "Config") -> Iterator[Check]:
    """Only where Spark itself touches S3: for tables, and a source of format delta."""
    places = [(config.tables.root, config.tables.storage)]
    if config.source.format == "delta":
        places.append((config.source.path, config.source.storage))
    if not s3_places(places):
        return
    packages = connector_packages(places)
    found = f"{packages[0]} by Maven, at the first start" if packages else "Spark's own, or that of the cluster"
    yield Check(name="s3 connector", ok=True, found=found)


def _size(path: Path) -> int:
    """Bytes of a file, of all files below a folder, or of what a glob finds."""
    if path.is_file():
        return path.stat().st_size
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return sum(os.path.getsize(file) for file in glob.glob(str(path), recursive=True) if os.path.isfile(file))
