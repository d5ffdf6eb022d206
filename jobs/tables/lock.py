"""One writer at a time: the lock of a root, as numbered generations that are put if absent.

Whoever creates the next generation holds the lock; that needs the last one to be released, its process to be gone, or
its lease to be over. A holder that loses it (a paused machine, a clock that jumps) damages nothing: commits exclude
each other by themselves, so all that the lock saves is work in vain. A refresh takes it; so does a verb that writes
where a table's own commits exclude nobody (`alone`).
"""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tokensieve.jobs.errors import BusyError
from tokensieve.jobs.spark.s3_connector import s3_places
from tokensieve.jobs.tables.config import TablesConfig
from tokensieve.jobs.tables.store import Store

FOLDER = "_locks"
RENEWALS = 4  # in one lease
LEASE_S = 300.0
WRITERS = ("score", "mask", "sweep")
PROC = Path("/proc")
START_TIME = 19  # of the fields of /proc/<pid>/stat behind the name, see proc_pid_stat(5)


class Process(BaseModel):
    """A process, also among those that get its number later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    pid: int
    numbers: str | None
    """The boot and the namespace in which `pid` was given out; None without /proc."""
    started: str | None
    """When it began, in ticks since the boot; None without /proc."""

    @classmethod
    def this(cls) -> "Process":
        """The process that runs this code."""
        return cls(host=socket.gethostname(), pid=os.getpid(), numbers=_numbers(), started=_started(os.getpid()))

    def is_gone(self) -> bool | None:
        """Whether it has ended; None where that cannot be seen from here."""
        if self.numbers is None or self.numbers != _numbers():
            return None
        return _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Generation(BaseModel):
    """`<root>/_locks/<n:06d>.json`: who held the lock the n-th time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    holder: Process
    what: str
    since: datetime
    renewed: datetime
    lease_s: float
    released: bool = False

    def is_over(self, now: datetime) -> bool:
        """Whether the next generation may be made. The lease does not count where the holder is seen to run."""
        gone = self.holder.is_gone()
        expired = now - self.renewed > timedelta(seconds=self.lease_s)
        return self.released or (expired if gone is None else gone)


class Lock:
    """A generation that this process holds."""

    def __init__(self, store: Store, number: int, generation: Generation) -> None:
        self._store = store
        self._number = number
        self._generation = generation
        self._done = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lock", daemon=True)

    def check(self) -> None:
        """Raises BusyError when another process has taken the lock over."""
        if _newest(self._store) != self._number:
            raise BusyError(
                f"{self._store.uri(FOLDER)}: another process took the lock over, since this one gave no sign of life "
                f"for refresh.lock_lease_s={self._generation.lease_s:g} s; nothing is damaged, run the verb again"
            )

    def start(self) -> None:
        """Begins to renew the lease."""
        self._renewing.start()

    def release(self) -> None:
        """Lets the next one in at once."""
        self._done.set()
        self._renewing.join()
        self._put(released=True)

    def _renew(self) -> None:
        while not self._done.wait(self._generation.lease_s / RENEWALS):
            try:
                self._put(released=False)
            except OSError as error:  # the store may answer again before the lease is over
                print(f"tokensieve: the lock could not be renewed, trying again: {error}", file=sys.stderr, flush=True)

    def _put(self, released: bool) -> None:
        if _newest(self._store) == self._number:  # a later holder removes older generations
            now = {"renewed": datetime.now(UTC), "released": released}
            self._store.write(_name(self._number), _bytes(self._generation.model_copy(update=now)))


@contextmanager
def locked(store: Store, lease_s: float, what: str) -> Iterator[Lock]:
    """Holds the lock of a root while inside. `what` is what the holder does, for the message that others get.

    Raises BusyError, which says who holds it since when, and what to do.
    """
    lock = _take(store, lease_s, what)
    lock.start()
    try:
        yield lock
    finally:
        lock.release()


@contextmanager
def alone(tables: TablesConfig, verb: str) -> Iterator[None]:
    """While inside, no other verb writes these tables, where that matters. Raises BusyError that says who does."""
    if verb not in WRITERS or tables.format != "delta" or not s3_places([(tables.root, tables.storage)]):
        yield
        return
    with locked(tables.store, LEASE_S, verb):
        yield


def _take(store: Store, lease_s: float, what: str) -> Lock:
    last, now = _newest(store), datetime.now(UTC)
    held = None if last is None else _read(store, last)
    if held is not None and not held.is_over(now):
        raise _busy(store, held)
    number = 1 if last is None else last + 1
    mine = Generation(holder=Process.this(), what=what, since=now, renewed=now, lease_s=lease_s)
    # A number that others have used and removed meanwhile can be made again, but then it is not the newest.
    if not store.create(_name(number), _bytes(mine)) or _newest(store) != number:
        winner = _read(store, _newest(store) or number)
        raise _busy(store, winner or mine)
    for name in store.names(FOLDER):
        if name < _file(number):
            store.delete(f"{FOLDER}/{name}")
    return Lock(store, number, mine)


def _busy(store: Store, held: Generation) -> BusyError:
    return BusyError(
        f"{store.uri()}: `tokensieve {held.what}` runs there since {held.since:%Y-%m-%d %H:%M:%S} UTC ({held.holder}, "
        f"last sign of life {held.renewed:%H:%M:%S}); wait until it is done. If it is dead, the lock is free "
        f"{held.lease_s:g} s after its last sign of life, on the same machine at once"
    )


def _newest(store: Store) -> int | None:
    numbers = [int(name[:6]) for name in store.names(FOLDER) if name[:6].isdigit() and name[6:] == ".json"]
    return max(numbers, default=None)


def _read(store: Store, number: int) -> Generation | None:
    """None for one that its successor removed, and for one that its writer died over on a mount without hard links."""
    try:
        return Generation.model_validate_json(store.read(_name(number)))
    except (FileNotFoundError, ValidationError):
        return None


def _bytes(generation: Generation) -> bytes:
    return (generation.model_dump_json(indent=2) + "\n").encode()


def _name(number: int) -> str:
    return f"{FOLDER}/{_file(number)}"


def _file(number: int) -> str:
    return f"{number:06d}.json"


def _numbers() -> str | None:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink(PROC / 'self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """None for a process that has ended, also one whose parent has not asked for its exit code yet."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[START_TIME]
