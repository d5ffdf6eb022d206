"""A competitor in a process of its own: one JSON object a line goes in, one comes back.

So that no side's threads, memory or imports are another's, and what a process loads is loaded before it is timed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class Child:
    """Runs `python -m MODULE ARGUMENTS`; its standard error goes to the file `log`."""

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        self.log = log
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | ONE_THREAD,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def send(self, **command: Any) -> None:
        """Begins a command; `answer` waits for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What the child says next. Raises RuntimeError with the end of its log when it has died."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        last = "\n".join(self.log.read_text().splitlines()[-20:])
        raise RuntimeError(f"{self._process.args} ended: {last}")

    def ask(self, **command: Any) -> dict[str, Any]:
        """One command and its answer."""
        self.send(**command)
        return self.answer()


def serve(do: Callable[..., dict[str, Any]]) -> None:
    """In the child: answers every line of standard input with `do(**command)`."""
    for line in sys.stdin:
        print(json.dumps(do(**json.loads(line))), flush=True)
