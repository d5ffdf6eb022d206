"""Kills a driver at a moment that a test chooses."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

SECONDS = 200


def kill_when(seen: Callable[[], object], process: subprocess.Popen) -> None:
    """Kills the driver, its JVM and its Python workers as soon as `seen()`; the event decides, not a sleep.

    `process` leads a process group of its own. Raises AssertionError when it ends before.
    """
    deadline = time.monotonic() + SECONDS
    while not seen():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the driver ended (code {process.poll()}) before it could be killed")
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
