"""The peak memory of a program of its own, which other tests' memory does not reach."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# ru_maxrss would be the parent's where that is larger: it outlives exec.
_PEAK = """
with open("/proc/self/status") as status:
    print(next(line for line in status if line.startswith("VmHWM")).split()[1])
"""


def peak_mb(program: str, *arguments: object) -> int:
    """Megabytes of resident memory at the peak of a Python program, which finds `arguments` in sys.argv."""
    command = [sys.executable, "-c", program + _PEAK, *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1]) // 1024
