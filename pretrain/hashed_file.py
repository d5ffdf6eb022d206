"""Files and their SHA-256: hashed while they are written, hashed when they are read, replaced in one step."""

import hashlib
import os
from pathlib import Path


class HashedFile:
    """A file whose SHA-256 is known when it is finished, without reading it back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = path.open("wb")
        self._hash = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`."""
        self._stream.write(data)
        self._hash.update(data)

    def finish(self) -> str:
        """Put the file on disk and return its SHA-256 in hex."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        return self._hash.hexdigest()

    def remove(self) -> None:
        """Close and delete the file; nothing happens when it is already gone."""
        self._stream.close()
        self.path.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hex, read in pieces. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` so that a reader sees the old file or the whole new one: temporary file, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
