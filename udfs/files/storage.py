"""How Python reaches an object store: one fsspec file system for listings, for executors and for our own small files.

fsspec and not pyarrow.fs, whose listings have no ETags and whose reads cannot insist on one; that costs a package for
each store (s3fs, gcsfs, adlfs). Credentials come from the environment or the machine's role, never from here.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "abfs": "abfs", "abfss": "abfss"}
"""Object stores, as Spark writes them and as fsspec does."""
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs"}
CREDENTIALS = "credentials"
"""The type of the pydantic error about them, so that whoever shows it leaves out what was given."""
CONNECT_SECONDS, READ_SECONDS = 10, 60
# What clients of stores raise beside OSError, named by module so that nothing is imported for it.
_FAILURES = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("azure.core.exceptions", "AzureError"),
)


class StoreError(Exception):
    """A store did not answer, refused, or gave other bytes than were listed: nothing is known of the file's content.

    No OSError: those of a reader mean that the bytes are there and damaged, which is the file's fault.
    """


class StorageConfig(BaseModel):
    """How a store other than the provider's own is reached: `source.storage`, `tables.storage`, `export.storage`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str | None = None
    """Of a self-hosted S3 store, such as https://minio.example.org:9000; None: the provider's."""
    region: str | None = None
    """None: from the environment (AWS_REGION, AWS_DEFAULT_REGION) or the machine."""
    path_style: bool = False
    """https://endpoint/bucket/key and not https://bucket.endpoint/key, as most self-hosted stores want it."""
    attempts: int = Field(default=5, ge=1, le=20)
    """Of one request under contention or while the network fails, waiting longer each time; then the task fails."""

    @field_validator("endpoint")
    @classmethod
    def _plain_address(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        parts = urlparse(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{parts.scheme or 'this'} is no address; write http://host:port or https://host:port")
        if parts.username or parts.password:
            raise credentials_error("an address")
        return endpoint.rstrip("/")


PROVIDERS_OWN = StorageConfig()


def is_remote(path: str) -> bool:
    """Whether a path is a URI of a file system that is not mounted here."""
    return "://" in path and not path.startswith("file://")


def is_object_store(path: str) -> bool:
    """Whether a path is a URI of an object store that we know."""
    return path.partition("://")[0] in SCHEMES and is_remote(path)


def without_scheme(uri: str) -> str:
    """A path as it is; of a URI the bucket and what follows: s3:// and s3a:// name the same place."""
    return uri.partition("://")[2] if is_remote(uri) else uri


def without_credentials(path: str) -> str:
    """The path or URI itself. Raises ValueError where it holds a key, which tables and logs would repeat."""
    user = urlparse(path).username if is_remote(path) else None
    # abfss://container@account is no user.
    if user and not path.startswith("abfs"):
        raise credentials_error("a path")
    return path


def credentials_error(what: str) -> PydanticCustomError:
    """Says that something which people print and keep holds credentials."""
    return PydanticCustomError(
        CREDENTIALS,
        "{what} with credentials: they do not belong into a configuration, which is printed and kept; leave them in "
        "the environment of driver and executors, or give the machines a role",
        {"what": what},
    )


def open_file_system(uri: str, storage: StorageConfig = PROVIDERS_OWN) -> "tuple[AbstractFileSystem, str]":
    """The file system of a URI and the path in it.

    Raises ValueError for a scheme that nobody here knows or an endpoint that it cannot have, ImportError when the
    package for it is missing.
    """
    import fsspec

    scheme, _, rest = uri.partition("://")
    python = SCHEMES.get(scheme, scheme)
    if storage.endpoint is not None and python != "s3":
        raise ValueError(f"{uri}: storage.endpoint is for S3 only")
    try:
        system, path = fsspec.core.url_to_fs(f"{python}://{rest}", **_options(python, storage))
    except ImportError as error:
        package = PACKAGES.get(python, "an fsspec package for it")
        raise ImportError(f"{uri}: {package} is not installed here: {error}") from error
    return system, str(path).rstrip("/")


def _options(scheme: str, storage: StorageConfig) -> dict[str, Any]:
    if scheme == "s3":
        style = "path" if storage.path_style else "auto"
        client = {"endpoint_url": storage.endpoint, "region_name": storage.region}
        return {
            "use_listings_cache": False,
            "client_kwargs": {key: value for key, value in client.items() if value is not None},
            "config_kwargs": {
                "retries": {"mode": "standard", "max_attempts": storage.attempts},
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": READ_SECONDS,
                "s3": {"addressing_style": style},
            },
        }
    if scheme.startswith("abfs"):
        return {"use_listings_cache": False, "anon": False}  # False: the machine's identity, where there is no key
    return {"use_listings_cache": False} if scheme == "gs" else {}


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turns what a store's client raises into StoreError, but for FileNotFoundError and FileExistsError."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except failures() as error:
        raise StoreError(f"{uri}: {type(error).__name__}: {error}") from error


def failures() -> tuple[type[Exception], ...]:
    """The errors of the clients that are loaded."""
    loaded = ((sys.modules.get(module), name) for module, name in _FAILURES)
    return (OSError, *(getattr(module, name) for module, name in loaded if hasattr(module, name)))


def version_of(system: "AbstractFileSystem", about: dict[str, Any]) -> str:
    """What tells a republished object from the old one, of what a file system says about it.

    `<bytes>-<etag>`; without ETags `<bytes>-<time of change>`; where there is neither, `<bytes>-<xxh3-128 of them>`.
    """
    mark = about.get("ETag") or about.get("etag")
    if mark:
        return f"{about['size']}-{str(mark).strip(chr(34))}"
    times = ("LastModified", "last_modified", "updated", "mtime")
    changed = next((about[key] for key in times if about.get(key)), None)
    if changed is not None:
        return f"{about['size']}-{changed}"
    import xxhash

    content = system.cat_file(about["name"])
    return f"{about['size']}-{xxhash.xxh3_128_hexdigest(content)}"  # type: ignore[arg-type]  # bytes
