"""How a scoring task says that it moves: one small file a task, replaced about once a second, for the driver to read.

Files and no accumulators: Spark Connect has none, and a task that runs twice would count twice; here its second attempt
replaces the first one's file. What is read is for people who watch. A lost heartbeat costs a stale line, never a task.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tokensieve.udfs.scoring.meter import Meter, Reading

EVERY_SECONDS = 1.0
NAME = "task-*.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """What one task last said.

    Attributes:
        task: its partition's number. done: it has given out all of its rows.
        device: what it computes on; the same for all tasks of one GPU, one name a process on CPU.
        began, at: when it began, and when it said this, in seconds since the epoch.
    """

    task: int
    done: bool
    device: str
    began: float
    at: float
    reading: Reading


@contextmanager
def heartbeat(folder: str | None, task: int, device: str, meter: Meter) -> Iterator[None]:
    """While inside, what the meter reads is written into the folder; at the end once more, as done unless it failed.

    A folder of None means no heartbeat. What cannot be written is left out, with one line in the log.
    """
    if folder is None:
        yield
        return
    writer = _Writer(Path(folder), task, device_name(device), meter)
    ended = threading.Event()
    thread = threading.Thread(target=writer.until, args=(ended,), name="heartbeat", daemon=True)
    writer.write()
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    writer.write(done=True)


def device_name(device: str) -> str:
    """A name that no other device has: `cpu` is a process of this machine, `cuda:N` one of its GPUs."""
    return f"{socket.gethostname()} {f'cpu {os.getpid()}' if device == 'cpu' else device}"


def write_heartbeat(folder: Path, beat: Heartbeat) -> None:
    """Replaces the task's file in one step. Raises OSError."""
    part = folder / f".task-{beat.task}.{os.getpid()}.part"
    try:
        part.write_text(json.dumps(asdict(beat)))
        os.replace(part, folder / NAME.replace("*", str(beat.task)))
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def read_heartbeat(file: Path) -> Heartbeat | None:
    """What the file says; None when it is gone, or is not ours."""
    try:
        found = json.loads(file.read_text())
        return Heartbeat(**{**found, "reading": Reading(**found["reading"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


class _Writer:
    def __init__(self, folder: Path, task: int, device: str, meter: Meter) -> None:
        self.folder, self.task, self.device, self.meter = folder, task, device, meter
        self.began = time.time()
        self.failed = False

    def until(self, ended: threading.Event) -> None:
        while not ended.wait(EVERY_SECONDS):
            self.write()

    def write(self, done: bool = False) -> None:
        beat = Heartbeat(
            task=self.task,
            done=done,
            device=self.device,
            began=self.began,
            at=time.time(),
            reading=self.meter.reading(),
        )
        try:
            write_heartbeat(self.folder, beat)
        except OSError as error:
            if not self.failed:
                log.warning("no heartbeat of task %d, scoring goes on: %s", self.task, error)
            self.failed = True
