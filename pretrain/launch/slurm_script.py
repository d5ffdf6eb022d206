"""The batch script for Slurm: `launch/job.sbatch`.

The submitter's environment stays behind (`--export=NONE`). Before the time is up the script passes the signal on, the
run saves and ends, and the job goes back into the queue. Not tried on a real cluster: containers (pyxis).
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

from tokensieve.pretrain.launch.config import LaunchConfig, SlurmConfig

_TEMPLATE = """\
#!/usr/bin/env bash
{options}
# Written by `tokensieve pretrain launch`.
set -euo pipefail
unset SLURM_EXPORT_ENV  # the nodes get this script's environment, which is not that of whoever submitted it

mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
export MASTER_ADDR="${{hosts[0]}}"
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))

{srun} &
step=$!

ending=
stop() {{
  stopped=yes
  ending=yes
  kill -{signal} "$step" || true
}}
trap stop {signal}
while true; do
  stopped=
  code=0
  wait "$step" || code=$?
  # A signal ends `wait` early, with 128 and its number.
  [[ "$stopped" && "$code" -gt 128 ]] || break
done
{requeue}exit "$code"
"""
_REQUEUE = """\
if [[ "$ending" ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
"""


def slurm_script(launch: LaunchConfig, slurm: SlurmConfig, *, run_script: Path, log_folder: Path) -> str:
    """Text of the batch script, which starts `run_script` once on every node."""
    return _TEMPLATE.format(
        options="\n".join(f"#SBATCH {option}" for option in _options(launch, slurm, log_folder)),
        srun=" ".join(_srun(slurm, run_script)),
        signal=slurm.signal,
        requeue=_REQUEUE if slurm.requeue else "",
    )


def _options(launch: LaunchConfig, slurm: SlurmConfig, log_folder: Path) -> Iterator[str]:
    yield f"--job-name={shlex.quote(slurm.job_name)}"
    yield f"--nodes={launch.nodes}"
    yield "--ntasks-per-node=1"
    if launch.gpus_per_node:
        yield f"--gpus-per-node={launch.gpus_per_node}"
    for name in ("partition", "account", "qos", "time", "cpus_per_task", "mem"):
        value = getattr(slurm, name)
        if value is not None:
            yield f"--{name.replace('_', '-')}={shlex.quote(str(value))}"
    # In file names of Slurm a % starts a pattern, and %% is a percent sign.
    yield f"--output={shlex.quote(slurm.output or str(log_folder).replace('%', '%%') + '/slurm-%j.out')}"
    yield "--open-mode=append"
    yield "--export=NONE"
    yield f"--signal=B:{slurm.signal}@{slurm.signal_seconds}"
    yield "--requeue" if slurm.requeue else "--no-requeue"
    yield from slurm.extra


def _srun(slurm: SlurmConfig, run_script: Path) -> Iterator[str]:
    yield from ("srun", "--kill-on-bad-exit=1", "--ntasks-per-node=1")
    if slurm.cpus_per_task:
        yield f"--cpus-per-task={slurm.cpus_per_task}"  # since Slurm 22.05 srun no longer inherits it
    if slurm.container:
        yield f"--container-image={shlex.quote(slurm.container.image)}"
        if slurm.container.mounts:
            yield f"--container-mounts={shlex.quote(','.join(slurm.container.mounts))}"
    yield from ("bash", shlex.quote(str(run_script)))
