"""Training runs in processes of their own, as torchrun starts them: `python -m tests.training_processes JOBS.json`.

A job has `settings`, `shards`, `out` and `resume`; the jobs of one file run one after the other in the same processes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tokensieve.pretrain.training.config import PretrainConfig


def job(settings: dict[str, Any], shards: Path, out: Path, *, resume: bool = False) -> dict[str, Any]:
    """One run, as this module's main reads it."""
    return {"settings": settings, "shards": str(shards), "out": str(out), "resume": resume}


def command(jobs: list[dict[str, Any]], folder: Path, *, processes: int) -> list[str]:
    """Writes the jobs into `folder` and gives the command that runs them."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *(torchrun if processes > 1 else []), "-m", "tests.training_processes", str(file)]


def start(jobs: list[dict[str, Any]], folder: Path, *, processes: int) -> subprocess.Popen:
    """Starts the jobs; what they print goes to `folder/log`, since checkpoint writers may outlive a killed run."""
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            command(jobs, folder, processes=processes),
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def run(jobs: list[dict[str, Any]], folder: Path, *, processes: int) -> None:
    """Runs the jobs to their end. Raises AssertionError with the end of the log when they fail."""
    code = start(jobs, folder, processes=processes).wait(timeout=200)
    assert code == 0, (folder / "log").read_text()[-3000:]


def main() -> None:
    from tokensieve.pretrain.errors import TrainingError
    from tokensieve.pretrain.training.train import train

    for one in json.loads(Path(sys.argv[1]).read_text()):
        settings = PretrainConfig.model_validate(one["settings"])
        try:
            train(settings, Path(one["shards"]), Path(one["out"]), resume=one["resume"])
        except TrainingError as error:
            print(error, file=sys.stderr)
            sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
