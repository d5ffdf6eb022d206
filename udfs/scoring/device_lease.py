"""One model a device: a process that loads a model there holds the device's lease, a file lock that the kernel frees.

Spark gives the tasks of one GPU to whichever Python worker is idle, and idle workers keep their models. So a worker
that needs a device asks for it, and a thread of an idle holder drops the model and lets go; a holder with a task keeps
both. A handover costs one more load. Only processes that share a temporary folder see each other.
"""

import fcntl
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.2
ASK_POLLS = 15  # before the holder of the device's next place is asked; longer than LINGER_SECONDS
LINGER_SECONDS = 1.0  # a holder that is asked waits so long for a next task, which would find its model loaded
WARN_AFTER_SECONDS, WARN_EVERY_SECONDS = 5.0, 60.0
JOURNAL_BYTES = 1_000_000  # the next holder begins a longer journal anew

log = logging.getLogger(__name__)


class DeviceLease:
    """What this process holds of a device, from its first task there until another process asks for the device.

    Args:
        drop: frees the model. Called before the device is let go, also in the watcher's thread, never during a task.
        folder: where the locks are; by default a folder of this user's in the temporary folder.
    """

    def __init__(self, drop: Callable[[], None], folder: Path | None = None) -> None:
        self._drop = drop
        self._folder = folder
        self._state = threading.Lock()  # guards the two below between the tasks' thread and the watcher
        self._place: Place | None = None
        self._busy = False

    @contextmanager
    def task(self, device: str, copies: int = 1) -> "Iterator[Place]":
        """Inside, this process is one of at most `copies` that have a model on the device; waits for its turn.

        `device` names the physical device, the same for every process that can use it.

        Raises:
            RuntimeError: a task of this process is running already.
            PermissionError: the folder of the locks belongs to another user.
        """
        self._begin(device, copies)
        assert self._place is not None
        try:
            yield self._place
        finally:
            with self._state:
                self._busy = False

    def _begin(self, device: str, copies: int) -> None:
        with self._state:
            if self._busy:
                raise RuntimeError(f"device {device}: a task of this process (pid {os.getpid()}) is using a device")
            folder = self._folder or lease_folder()
            places = [Place(folder, device, number) for number in range(copies)]
            if self._place is not None and self._place not in places:
                self._let_go()
            if self._place is None:
                self._place = _wait_for_one(places)
                threading.Thread(target=self._watch, args=(self._place,), daemon=True).start()
            self._busy = True

    def _watch(self, place: "Place") -> None:
        """Lets go once the place was wanted for LINGER_SECONDS in which no task came."""
        wanted_since = None
        while True:
            time.sleep(POLL_SECONDS)
            with self._state:
                if self._place is not place:
                    return
                if self._busy or not place.wanted():
                    wanted_since = None
                    continue
                wanted_since = wanted_since or time.monotonic()
                if time.monotonic() - wanted_since >= LINGER_SECONDS:
                    self._let_go()
                    return

    def _let_go(self) -> None:
        """A `drop` that fails keeps the lease: what it did not free is still on the device."""
        assert self._place is not None
        self._drop()
        self._place.unlock()
        self._place = None


class Place:
    """Room for one model on a device: a file that its holder locks and keeps a journal in, and one that askers lock."""

    def __init__(self, folder: Path, device: str, number: int) -> None:
        stem = folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', device)}.{number}"
        self.device = device
        self._lease, self._asked = Path(f"{stem}.lease"), Path(f"{stem}.asked")
        self._file: IO[str] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self._lease == other._lease

    __hash__ = None  # type: ignore[assignment]  # compared, never a key

    def try_lock(self) -> bool:
        """Whether this process now holds the place."""
        file = self._lease.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        if file.tell() > JOURNAL_BYTES:
            file.truncate(0)
        self.note("taken")
        return True

    def unlock(self) -> None:
        assert self._file is not None
        self.note("dropped")
        self._file.close()
        self._file = None

    def note(self, event: str) -> None:
        """Adds a line to the journal: seconds since the epoch, this process's id, the event."""
        assert self._file is not None
        self._file.write(f"{time.time():.3f} {os.getpid()} {event}\n")
        self._file.flush()

    def holder(self) -> str:
        """The process that wrote the journal's last line."""
        lines = self._lease.read_text().splitlines()
        return f"pid {lines[-1].split()[1]}" if lines else "a process that is about to start"

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Inside, the holder sees that the place is wanted. A lock and no file alone: it ends with the asker."""
        with self._asked.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def wanted(self) -> bool:
        with self._asked.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False


def lease_folder() -> Path:
    """The folder of this user's locks, made where it is missing. Raises PermissionError if it is another user's."""
    folder = Path(tempfile.gettempdir()) / f"tokensieve-leases-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; remove it, or set TMPDIR to a folder of your own")
    return folder


def _wait_for_one(places: "list[Place]") -> "Place":
    """Locks one of the places, asking their holders one after the other, so that only one of them drops its model."""
    began, warn_at = time.monotonic(), WARN_AFTER_SECONDS
    for turn in count(os.getpid()):
        with places[turn % len(places)].asking():
            for _ in range(ASK_POLLS):
                for place in places:
                    if place.try_lock():
                        return place
                waited = time.monotonic() - began
                if waited >= warn_at:
                    holders = " and ".join(place.holder() for place in places)
                    log.warning("waited %.0f s for %s, which %s holds", waited, places[0].device, holders)
                    warn_at = waited + WARN_EVERY_SECONDS
                time.sleep(POLL_SECONDS)
    raise AssertionError("count never ends")
