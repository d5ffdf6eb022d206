"""An object of a store as a file that Arrow reads: every read is one range request, without a cache of its own.

Readers ask for megabytes at a time, so that what is read ahead is theirs to decide. A read that fails is a StoreError,
on which the task fails and Spark runs it again; only bytes that did arrive can be found damaged.
"""

import io

from tokensieve.udfs.files.storage import (
    PROVIDERS_OWN,
    StorageConfig,
    StoreError,
    open_file_system,
    store_errors,
    version_of,
)


class RemoteFile(io.RawIOBase):
    """Opened for reading. On S3 every request insists on the ETag that was there when it was opened."""

    def __init__(self, uri: str, storage: StorageConfig = PROVIDERS_OWN, version: str | None = None) -> None:
        """Raises FileNotFoundError, and StoreError, also where the object is not of `version` (None: of any)."""
        super().__init__()
        self.uri = uri
        system, path = open_file_system(uri, storage)
        with store_errors(uri):
            self._file = system.open(path, "rb", cache_type="none")
            about = getattr(self._file, "details", None) or system.info(path)
            self._size = int(about["size"])
            found = version_of(system, about)
        if version is not None and found != version:
            raise StoreError(f"{uri}: replaced while it was read, {version} by {found}; score the source again")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        return self._size

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        """Bytes from here on. Raises StoreError, also where the object has gone or changed since it was opened."""
        try:
            with store_errors(self.uri):
                return self._file.read(-1 if size is None else size)  # type: ignore[return-value]  # opened as rb
        except FileNotFoundError as error:
            raise StoreError(f"{self.uri}: removed while it was read: {error}") from error

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def remote_version(uri: str, storage: StorageConfig = PROVIDERS_OWN) -> str:
    """`udfs.files.storage.version_of` an object as it is now. Raises FileNotFoundError, StoreError."""
    system, path = open_file_system(uri, storage)
    with store_errors(uri):
        return version_of(system, system.info(path))
