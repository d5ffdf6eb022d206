"""Every bench, one after the other, each in a process of its own: `python -m tests.bench`."""

import subprocess
import sys
from pathlib import Path

NO_BENCH = ("__init__", "__main__", "report")

if __name__ == "__main__":
    names = sorted(file.stem for file in Path(__file__).parent.glob("*.py") if file.stem not in NO_BENCH)
    failed = [name for name in names if subprocess.run([sys.executable, "-m", f"tests.bench.{name}"]).returncode]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
