"""Runs `refresh.hook`: a command of the operator's, with refresh.json on standard input, for whatever tells people.

No shell. Its output goes to standard error, so that `--json` stays one line. It may hang or fail without harm: after
the time-out it is killed with everything that it started, and what went wrong is returned as a sentence.
"""

import os
import signal
import subprocess
from collections.abc import Sequence

STANDARD_ERROR = 2


def run_hook(command: Sequence[str], content: bytes, timeout_s: float) -> str | None:
    """Runs the command and waits for it. Returns what went wrong, None if nothing did."""
    name = f"refresh.hook: {command[0]}"
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=STANDARD_ERROR, start_new_session=True)
    except OSError as error:
        return f"{name}: cannot be started: {error.strerror}; give its whole path and make it executable"
    try:
        process.communicate(content, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"{name}: killed after refresh.hook_timeout_s={timeout_s:g}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own: what the command started dies with it
            process.wait()
    code = process.returncode
    if code:
        return f"{name}: {f'exit code {code}' if code > 0 else f'killed by signal {-code}'}; its words are above"
    return None
