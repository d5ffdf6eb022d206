"""A store on S3, Google Cloud Storage or Azure, through fsspec: `create` is the provider's conditional put.

S3 answers 412 to `If-None-Match: *`, GCS to a generation of 0, Azure to `overwrite=False`; fsspec's mode "create" is
one name for the three. Credentials come from the environment or the instance, never from here.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from jobs.errors import ConfigError
from jobs.store import Store, unsafe

PYTHON_SCHEMES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "abfs": "abfs", "abfss": "abfss"}
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs"}


class ObjectStore(Store):
    """A prefix of a bucket."""

    local = False

    def __init__(self, uri: str) -> None:
        scheme, _, rest = uri.partition("://")
        if scheme not in PYTHON_SCHEMES:
            raise unsafe(uri, f"{scheme}:// has no put-if-absent that we know, so a commit could be lost")
        self._uri = uri.rstrip("/")
        python = PYTHON_SCHEMES[scheme]
        try:
            import fsspec

            self._system, root = fsspec.core.url_to_fs(f"{python}://{rest}", use_listings_cache=False)
        except ImportError as error:
            raise ConfigError(f"{uri}: the package {PACKAGES[python]} is not installed: {error}") from error
        self._root = root.rstrip("/")

    def path(self) -> Path:
        raise ConfigError(f"{self._uri} is on an object store; this needs a local or mounted folder")

    def uri(self, name: str = "") -> str:
        return f"{self._uri}/{name}".rstrip("/")

    def read(self, name: str) -> bytes:
        return self._system.cat_file(self._at(name))

    def write(self, name: str, data: bytes) -> None:
        self._system.pipe_file(self._at(name), data)

    def create(self, name: str, data: bytes) -> bool:
        try:
            self._system.pipe_file(self._at(name), data, mode="create")
        except FileExistsError:
            return False
        return True

    def names(self, folder: str = "") -> list[str]:
        return sorted(self._listed(folder))

    def sizes(self, folder: str = "") -> dict[str, int]:
        return {name: int(about["size"]) for name, about in self._listed(folder).items() if about["type"] == "file"}

    def _listed(self, folder: str) -> dict[str, dict[str, Any]]:
        """What fsspec says of everything directly in a folder, by its name."""
        try:
            found = self._system.ls(self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        named = {about["name"].rstrip("/").rpartition("/")[2]: about for about in found if self._below(about, folder)}
        return {name: about for name, about in sorted(named.items()) if not name.startswith(".")}

    def _below(self, about: dict[str, Any], folder: str) -> bool:
        return about["name"].rstrip("/") != self._at(folder)

    def exists(self, name: str) -> bool:
        return bool(self._system.exists(self._at(name)))

    def delete(self, name: str) -> None:
        if self._system.exists(self._at(name)):
            self._system.rm(self._at(name), recursive=True)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


def is_object_store(uri: str) -> bool:
    """Whether a path is a URI of an object store that we know."""
    return urlparse(uri).scheme in PYTHON_SCHEMES
