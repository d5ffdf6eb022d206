"""Which process holds a lock, so that another can tell whether it still runs.

A process id means something only where it was given out: on one boot of one kernel, in one namespace of process ids
(containers of a node have several). Where that cannot be compared, or without /proc, only the lease of a lock decides.
"""

import os
import socket
from pathlib import Path

from pydantic import BaseModel, ConfigDict

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
