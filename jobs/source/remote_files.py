"""The files of a source on an object store, each with its version, from one listing: 1,000 files a request on S3."""

import glob
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokensieve.jobs.errors import ConfigError
from tokensieve.udfs.files.storage import StorageConfig, open_file_system, store_errors, version_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


@dataclass(frozen=True, kw_only=True)
class RemoteFiles:
    """What was found: names are below `root`, which is a URI as the configuration writes it."""

    root: str
    versions: dict[str, str]


def remote_files(uri: str, storage: StorageConfig, suffixes: tuple[str, ...]) -> RemoteFiles:
    """The object `uri`, those that a glob finds, or those below a folder that end with a suffix and are not hidden.

    Nothing there is an empty answer. Raises ConfigError: no such file system here; StoreError: it does not answer.
    """
    system, path = _opened(uri, storage)
    with store_errors(uri):
        found = _listed(system, path)
    if list(found) == [path]:
        return RemoteFiles(root=_parent(uri), versions={_name(path): version_of(system, found[path])})
    wild = glob.has_magic(path)
    root, base = (_fixed(uri), _fixed(path)) if wild else (uri, path)
    named = {file[len(base) + 1 :]: about for file, about in found.items() if about["type"] == "file"}
    names = [name for name in sorted(named) if _visible(name, ".") and (wild or _is_data(name, suffixes))]
    with store_errors(uri):
        return RemoteFiles(root=root, versions={name: version_of(system, named[name]) for name in names})


def remote_root(uri: str, storage: StorageConfig) -> str:
    """The root of `remote_files`, with one small request."""
    if glob.has_magic(uri):
        return _fixed(uri)
    system, path = _opened(uri, storage)
    with store_errors(uri):
        return _parent(uri) if system.isfile(path) else uri


def remote_size(uri: str, storage: StorageConfig) -> int:
    """Bytes of what lies there, in files of any name. Raises as `remote_files`."""
    system, path = _opened(uri, storage)
    with store_errors(uri):
        return sum(about["size"] or 0 for about in _listed(system, path).values())


def _opened(uri: str, storage: StorageConfig) -> "tuple[AbstractFileSystem, str]":
    try:
        return open_file_system(uri, storage)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"source.path: {error}") from error


def _listed(system: "AbstractFileSystem", path: str) -> dict[str, dict[str, Any]]:
    """Everything there, by its path."""
    try:
        if glob.has_magic(path):
            return dict(system.glob(path, detail=True))  # type: ignore[call-overload]
        return dict(system.find(path, detail=True))
    except FileNotFoundError:  # the bucket
        return {}


def _fixed(path: str) -> str:
    """The folder before the first wildcard."""
    parts = path.split("/")
    first = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first])


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_data(name: str, suffixes: tuple[str, ...]) -> bool:
    """Hidden files and folders (`_SUCCESS`, `_staging/`) are no data, here as in Spark."""
    return name.endswith(suffixes) and _visible(name, "_")


def _visible(name: str, hidden: str) -> bool:
    return not any(part.startswith(hidden) for part in name.split("/"))
