"""Copies a finished shard set to any file system that fsspec knows, the manifest last.

Shards are named by content, so a new set is laid beside an old one and the manifest that changes over is one file: a
reader sees the old corpus or the new one. Bytes are hashed on the way; a file that is not what the manifest says
stops the copy before its manifest is there.
"""

import hashlib
from collections.abc import Set
from pathlib import Path
from typing import Any

from pyarrow.fs import FileSystem, FileType, FSSpecHandler, PyFileSystem

from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.pretrain.shards.manifest import FILE_NAME, Manifest, inside
from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig, failures, open_file_system

_CHUNK = 8 * 2**20


def copy_shards(folder: Path, uri: str, storage: StorageConfig = PROVIDERS_OWN) -> dict[str, Any]:
    """Copies the corpus in `folder` to `uri`; returns its place and the files and bytes copied (none when it is there).

    Raises ConfigError for a URI of no known file system; InputError when a file here is damaged, the target cannot be
    written, or it holds a corpus of another tokenizer or a manifest that cannot be read.
    """
    system, root = _open(uri, storage)
    manifest = Manifest.load(folder)
    old = _manifest_there(system, root, uri)
    if old is not None and old.id == manifest.id:
        return {"to": uri, "files": 0, "bytes": 0}
    names, there = manifest.files(), {} if old is None else old.files()
    clash = sorted(name for name in names.keys() & there.keys() if names[name] != there[name])
    if clash:
        raise InputError(
            f"export.to: {uri} holds the corpus {old.id if old else ''} with another {clash[0]} (another tokenizer?), "
            "so it cannot be replaced file by file; choose an empty folder"
        )
    missing = {name: sha256 for name, sha256 in names.items() if name not in there}
    try:
        size = sum(_copy(system, inside(folder, name), f"{root}/{name}", sha256) for name, sha256 in missing.items())
        _put_manifest(system, root, (folder / FILE_NAME).read_bytes())
        _remove(system, root, there.keys() - names.keys())
    except failures() as error:
        raise InputError(f"export.to: {uri}: {error}; the shards are complete in {folder}") from error
    return {"to": uri, "files": len(missing) + 1, "bytes": size}


def _open(uri: str, storage: StorageConfig) -> tuple[FileSystem, str]:
    """The file system of a URI and the path in it."""
    if "://" not in uri:
        raise ConfigError(f"export.to: {uri!r} is no URI; write file:///folder for a local one")
    try:
        system, root = open_file_system(uri, storage)
    except (ImportError, ValueError) as error:  # ValueError: an unknown scheme
        raise ConfigError(f"export.to: {uri}: no file system of fsspec here has it ({error})") from error
    return PyFileSystem(FSSpecHandler(system)), root


def _manifest_there(system: FileSystem, root: str, uri: str) -> Manifest | None:
    path = f"{root}/{FILE_NAME}"
    try:
        if system.get_file_info(path).type == FileType.NotFound:
            return None
        with system.open_input_stream(path) as stream:
            return Manifest.model_validate_json(stream.read())
    except (OSError, ValueError) as error:
        raise InputError(
            f"export.to: the manifest at {uri} cannot be read ({error}); look at what it is, or choose another folder"
        ) from error


def _copy(system: FileSystem, source: Path, target: str, sha256: str | None) -> int:
    """Copies one file and returns its size. Raises InputError when its bytes are not those of the manifest."""
    system.create_dir(target.rpartition("/")[0], recursive=True)
    digest = hashlib.sha256()
    with source.open("rb") as reader, system.open_output_stream(target) as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    if sha256 and digest.hexdigest() != sha256:
        system.delete_file(target)
        raise InputError(f"{source}: its bytes are not those of the manifest; export again with export.whole=true")
    size, there = source.stat().st_size, system.get_file_info(target).size
    if there != size:
        raise InputError(f"export.to: {target} has {there} bytes after the copy, {source} has {size}; copy again")
    return size


def _put_manifest(system: FileSystem, root: str, data: bytes) -> None:
    temporary = f"{root}/.{FILE_NAME}.tmp"
    with system.open_output_stream(temporary) as stream:
        stream.write(data)
    system.move(temporary, f"{root}/{FILE_NAME}")


def _remove(system: FileSystem, root: str, names: Set[str]) -> None:
    for name in sorted(names):
        if system.get_file_info(f"{root}/{name}").type == FileType.File:
            system.delete_file(f"{root}/{name}")
