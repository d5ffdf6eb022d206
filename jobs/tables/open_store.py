"""Opens the store of a root: a folder, or a prefix of a bucket."""

from functools import lru_cache
from pathlib import Path
from urllib.parse import urlparse

from tokensieve.jobs.tables.store import LocalStore, Store
from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig


def open_store(uri: str, storage: StorageConfig = PROVIDERS_OWN) -> Store:
    """The store that a path or URI names. Raises ConfigError for a scheme that cannot commit safely."""
    scheme = urlparse(uri).scheme
    if len(scheme) <= 1:  # none, or the letter of a drive
        return LocalStore(Path(uri))
    if scheme == "file":
        return LocalStore(Path(urlparse(uri).path))
    return _object_store(uri, storage.model_dump_json())


@lru_cache
def _object_store(uri: str, storage: str) -> Store:
    """One for all who ask: it remembers that its place was probed."""
    from tokensieve.jobs.tables.object_store import ObjectStore

    return ObjectStore(uri, StorageConfig.model_validate_json(storage))
