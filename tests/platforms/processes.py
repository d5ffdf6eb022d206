"""Programs that platform tests start: they are waited for by what they log, and ended with all their children."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running(command: Sequence[str], log: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """A program in a process group of its own, ended on the way out; gives its process id."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output, stderr=output, cwd=folder, env=dict(environment), start_new_session=True,
        )  # fmt: skip
    try:
        yield process.pid
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def wait_for(log: Path, text: str, times: int = 1, seconds: float = 150) -> None:
    """Waits until a program has logged a text so often. Raises TimeoutError with the end of the log."""
    deadline = time.monotonic() + seconds
    while log.read_text(errors="replace").count(text) < times:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{text!r} was not logged {times} times:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)
