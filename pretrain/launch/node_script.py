"""The script that starts the trainers of one node: `launch/run.sh`, the same on every node and without Slurm.

torchrun gives its trainers 30 s after a signal that it gets itself, which is too little to save a large model. So
the script sends SIGTERM to the trainers and lets torchrun wait for them. Needs Linux (`/proc`).
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokensieve.pretrain.launch.config import LaunchConfig

_TEMPLATE = """\
#!/usr/bin/env bash
# Starts the trainers of one node. Written by `tokensieve pretrain launch`.
set -euo pipefail
cd {folder}
{environment}
command=(
{command}
)
"${{command[@]}}" &
agent=$!

trainers() {{ cat /proc/"$agent"/task/*/children 2>/dev/null || true; }}
# They save and end. torchrun may start them again, --max-restarts times; those end at once.
stop() {{
  stopped=yes
  local first
  first=$(trainers)
  kill -TERM ${{first:-$agent}} || true
  while kill -0 $first 2>/dev/null; do sleep 0.2; done
  while kill -0 "$agent" 2>/dev/null; do
    kill -TERM $(trainers) 2>/dev/null || true
    sleep 0.2
  done
}}
trap stop TERM USR1
while true; do
  stopped=
  code=0
  wait "$agent" || code=$?
  # A signal ends `wait` early, with 128 and its number.
  [[ "$stopped" && "$code" -gt 128 ]] || exit "$code"
done
"""


def node_script(
    launch: LaunchConfig, target: Sequence[str], *, python: str, folder: Path, environment: Mapping[str, str]
) -> str:
    """Text of the script. `target` is what torchrun starts (`-m module` and arguments), `folder` where it runs."""
    return _TEMPLATE.format(
        folder=shlex.quote(str(folder)),
        environment="\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
        command="\n".join(f"  {line}" for line in (*torchrun(launch, python), *_option_lines(target))),
    )


def torchrun(launch: LaunchConfig, python: str) -> list[str]:
    """torchrun and its options, quoted for a shell, one line each. Many nodes meet where the Slurm script says."""
    if launch.nodes == 1:
        meeting = ["--standalone"]
    else:
        meeting = [
            f"--nnodes={launch.nodes}",
            "--rdzv-backend=c10d",
            '--rdzv-endpoint="$MASTER_ADDR:$MASTER_PORT"',
            '--rdzv-id="$SLURM_JOB_ID"',
        ]
    return [
        f"{shlex.quote(python)} -m torch.distributed.run",
        *meeting,
        f"--nproc-per-node={launch.processes_per_node}",
        f"--max-restarts={launch.max_restarts}",
    ]


def _option_lines(words: Sequence[str]) -> list[str]:
    """Arguments quoted for a shell, every option on a line with its values."""
    lines: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not lines:
            lines.append([])
        lines[-1].append(word)
    return [shlex.join(line) for line in lines]
