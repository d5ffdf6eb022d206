"""A store on S3, Google Cloud Storage or Azure, through fsspec: `create` is the provider's conditional put.

S3 answers 412 to `If-None-Match: *`, GCS to a generation of 0, Azure to `overwrite=False`; fsspec's mode "create" is
one name for the three. Stores that take the condition and ignore it exist, so the first `create` of a process tries it.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokensieve.jobs.errors import ConfigError, StorageError
from tokensieve.jobs.tables.store import NO_CONDITION, Store, unsafe
from tokensieve.udfs.files.storage import (
    PROVIDERS_OWN,
    StorageConfig,
    StoreError,
    is_object_store,
    open_file_system,
    store_errors,
)

PROBES = "_probe"
CONFLICTS = 5  # answers of S3 that another conditional put of the same name is under way; it is to be asked again


class ObjectStore(Store):
    """A prefix of a bucket."""

    local = False

    def __init__(self, uri: str, storage: StorageConfig = PROVIDERS_OWN) -> None:
        if not is_object_store(uri):
            raise unsafe(uri, NO_CONDITION.format(scheme=uri.partition("://")[0]))
        self._uri = uri.rstrip("/")
        try:
            self._system, self._root = open_file_system(self._uri, storage)
        except (ImportError, ValueError) as error:
            raise ConfigError(str(error)) from error
        self._probed = False

    def path(self) -> Path:
        raise ConfigError(f"{self._uri} is on an object store; this needs a local or mounted folder")

    def uri(self, name: str = "") -> str:
        return f"{self._uri}/{name}".rstrip("/")

    def read(self, name: str) -> bytes:
        with self._errors(name):
            return self._system.cat_file(self._at(name))  # type: ignore[return-value]  # never text

    def write(self, name: str, data: bytes) -> None:
        with self._errors(name):
            self._system.pipe_file(self._at(name), data)

    def create(self, name: str, data: bytes) -> bool:
        if not self._probed:
            self._probe()
        return self._create(name, data)

    def _create(self, name: str, data: bytes) -> bool:
        with self._errors(name):
            try:
                _asked_again(lambda: self._system.pipe_file(self._at(name), data, mode="create"))
            except FileExistsError:
                return False
        return True

    def _probe(self) -> None:
        """Raises ConfigError where a second put of one name goes through."""
        name = f"{PROBES}/{uuid.uuid4().hex}"
        try:
            first, second = self._create(name, b"first"), self._create(name, b"second")
        except FileNotFoundError as error:
            raise ConfigError(f"tables.root: {self._uri}: {error}; make the bucket, or name another") from error
        finally:
            self.delete(name)
        if not first or second:
            raise unsafe(self._uri, "this store ignores the condition of a put-if-absent, so commits could be lost")
        self._probed = True

    def names(self, folder: str = "") -> list[str]:
        return sorted(self._listed(folder))

    def sizes(self, folder: str = "") -> dict[str, int]:
        return {name: int(about["size"]) for name, about in self._listed(folder).items() if about["type"] == "file"}

    def _listed(self, folder: str) -> dict[str, dict[str, Any]]:
        """What fsspec says of everything directly in a folder, by its name."""
        try:
            with self._errors(folder):
                found = self._system.ls(self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        named = {about["name"].rstrip("/").rpartition("/")[2]: about for about in found if self._below(about, folder)}
        return {name: about for name, about in sorted(named.items()) if not name.startswith(".")}

    def _below(self, about: dict[str, Any], folder: str) -> bool:
        return about["name"].rstrip("/") != self._at(folder)

    def exists(self, name: str) -> bool:
        with self._errors(name):
            return bool(self._system.exists(self._at(name)))

    def delete(self, name: str) -> None:
        with self._errors(name):
            try:
                self._system.rm(self._at(name), recursive=True)
            except FileNotFoundError:
                return

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Raises StorageError for what the store's client raises, but for FileNotFoundError and FileExistsError."""
        try:
            with store_errors(self.uri(name)):
                yield
        except StoreError as error:
            raise StorageError(f"{error}; look at the network, the credentials and the rights") from error


def _asked_again(put: Callable[[], Any]) -> None:
    """A conditional put, repeated while the store says 409: S3 does, where it cannot tell yet who was first."""
    for wait in [0.1 * 2**at for at in range(CONFLICTS)]:
        try:
            put()
        except OSError as error:
            about = getattr(error.__cause__, "response", {}).get("Error", {})
            if about.get("Code") not in ("ConditionalRequestConflict", "409"):
                raise
            time.sleep(wait)
        else:
            return
    put()
