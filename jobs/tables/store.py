"""The folder of all tables, where our own small files lie: on a disk, a mount, or an object store.

Spark writes the tables' data itself; commits, ledgers and releases are JSON files that go through here, because the one
thing that they need is `create`: put this file if nobody else has, in one step. A place without that is refused.
"""

import errno
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from tokensieve.jobs.errors import ConfigError

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class Store(ABC):
    """A folder. Names in it are relative, with `/` between the parts."""

    local: bool

    @abstractmethod
    def path(self) -> Path:
        """The folder on this machine. Raises ConfigError on an object store."""

    @abstractmethod
    def uri(self, name: str = "") -> str:
        """How Spark finds it."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Puts a file, in place of what is there, in one step."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Puts a file that is not there yet, in one step. False: somebody was first, and nothing has changed."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """What lies directly in a folder, sorted, but for names with a dot in front; nothing where it is not there."""

    @abstractmethod
    def sizes(self, folder: str = "") -> dict[str, int]:
        """The files directly in a folder, with their bytes, by `names`."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Removes a file, or a folder with all that is in it; nothing happens where there is none."""


class LocalStore(Store):
    """A folder on a disk or a mount of this machine."""

    local = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()  # executors work in folders of their own

    def path(self) -> Path:
        return self._folder

    def uri(self, name: str = "") -> str:
        return str(self._folder / name)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        os.replace(self._staged(name, data), self._folder / name)

    def create(self, name: str, data: bytes) -> bool:
        target, staged = self._folder / name, self._staged(name, data)
        try:
            os.link(staged, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return _create_without_link(target, data)
        finally:
            staged.unlink()
        return True

    def names(self, folder: str = "") -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._folder / folder) if not name.startswith("."))
        except FileNotFoundError:
            return []

    def sizes(self, folder: str = "") -> dict[str, int]:
        paths = {name: self._folder / folder / name for name in self.names(folder)}
        return {name: path.stat().st_size for name, path in paths.items() if path.is_file()}

    def exists(self, name: str) -> bool:
        return (self._folder / name).exists()

    def delete(self, name: str) -> None:
        path = self._folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _staged(self, name: str, data: bytes) -> Path:
        """The data on the disk, under a name that nobody looks at."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.parent / f".{target.name}-{uuid.uuid4().hex}"
        with staged.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return staged


def _create_without_link(target: Path, data: bytes) -> bool:
    """For mounts without hard links. The name is taken in one step; a reader of that moment may find it incomplete."""
    try:
        with target.open("xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    except OSError:
        with suppress(OSError):
            target.unlink()
        raise
    return True


NO_CONDITION = "{scheme}:// has no put-if-absent that we know, so commits could be lost"


def unsafe(uri: str, why: str) -> ConfigError:
    """What is said of a place that cannot commit."""
    return ConfigError(f"tables.root: {uri}: {why}; use a local or mounted folder, or s3a://, gs:// or abfss://")
