"""Where a run is started and by what: section `launch` of the project's YAML.

Needs pydantic only. What it holds goes into scripts, so a value may contain neither line ends nor, by its name, a
secret; a job that needs one reads it on its node.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


def _one_line(text: str) -> str:
    if not text.strip() or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"{text!r} is empty or holds a line end or another control character")
    return text


Line = Annotated[str, AfterValidator(_one_line)]
SLURM_TIME = re.compile(r"\d+|\d+:\d{2}(:\d{2})?|\d+-\d+(:\d{2}){0,2}")
SECRET_NAME = re.compile(
    r"(^|_)(KEY|TOKEN|PASS|PWD|AUTH)S?$|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE_KEY", re.IGNORECASE
)
# The launcher's own options of sbatch: a line of `extra` that repeated one would win or lose without a word.
OWN_SLURM_OPTIONS = re.compile(
    "nodes|ntasks|ntasks-per-node|gpus-per-node|partition|account|qos|time|cpus-per-task|mem|job-name|output|signal|"
    "requeue|no-requeue|open-mode|export"
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ContainerConfig(_Section):
    """An image in which every node runs its trainers, through Slurm's container plug-in (pyxis)."""

    image: Line
    mounts: tuple[Line, ...] = ()
    """`HOST_PATH:PATH_INSIDE[:FLAGS]`; the project, its shards and the run's folder must have the same path inside."""


class SlurmConfig(_Section):
    """Options of `sbatch`; what is None is left to the cluster's defaults."""

    partition: Line | None = None
    account: Line | None = None
    qos: Line | None = None
    time: Line | None = None
    """`[days-]hours:minutes:seconds` and Slurm's shorter forms, in quotes."""
    cpus_per_task: Positive | None = None
    mem: Line | None = None
    job_name: Line = "tokensieve"
    output: Line | None = None
    """The job's log, with Slurm's patterns such as %j; None: `slurm-<job>.out` in the run's folder `launch`."""
    signal: Literal["USR1", "TERM"] = "USR1"
    """What Slurm sends to the job's script before the time is up; the trainers get SIGTERM, save, and end."""
    signal_seconds: Positive = 300
    requeue: bool = True
    """Go on with the last checkpoint after a node's failure, a preemption, or the time limit."""
    container: ContainerConfig | None = None
    extra: tuple[Line, ...] = ()
    """Further options of `sbatch`, one a line, such as `--exclusive`."""

    @field_validator("time", mode="before")
    @classmethod
    def _quoted(cls, time: object) -> object:
        if isinstance(time, int):
            raise ValueError("write the time in quotes, such as '12:00:00'; YAML takes it for a number otherwise")
        if isinstance(time, str) and not SLURM_TIME.fullmatch(time):
            raise ValueError(f"{time!r} is not a time of Slurm, such as '12:00:00' or '2-00:00:00'")
        return time

    @field_validator("extra")
    @classmethod
    def _options(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        for line in lines:
            name = re.match(r"--([a-z-]+)(=|\s|$)", line)
            if not name:
                raise ValueError(f"{line!r} is not a long option of sbatch, such as --exclusive")
            if OWN_SLURM_OPTIONS.fullmatch(name[1]):
                raise ValueError(f"--{name[1]} is the launcher's own; set the key of section launch instead")
        return lines


class MegatronLmConfig(_Section):
    """The checkout whose `pretrain_gpt.py` trains, and what only it knows about."""

    checkout: Line
    """Folder of Megatron-LM at tag core_v0.16.1, the same path on every node."""
    attention_backend: Literal["auto", "flash", "fused", "unfused"] = "auto"
    extra: tuple[Line, ...] = ()
    """Further arguments, one string each, such as `--recompute-activations`; none of those that are derived."""


class LaunchConfig(_Section):
    """Section `launch`."""

    driver: Literal["tokensieve", "megatron-lm"] = "tokensieve"
    nodes: Positive = 1
    gpus_per_node: Count = 0
    """0: processes on the CPU (gloo), `cpu_processes` of them on each node."""
    cpu_processes: Positive = 1
    max_restarts: Count = 0
    """How often torchrun starts all trainers again after one has failed."""
    python: Line | None = None
    """The interpreter on the nodes; None: the one that runs this command."""
    environment: dict[str, Line] = {}
    """Set on the nodes. Nothing else of this shell's environment is handed to a job."""
    slurm: SlurmConfig | None = None
    megatron_lm: MegatronLmConfig | None = None

    @property
    def processes_per_node(self) -> int:
        return self.gpus_per_node or self.cpu_processes

    @property
    def world_size(self) -> int:
        """Processes that train together."""
        return self.nodes * self.processes_per_node

    @field_validator("environment")
    @classmethod
    def _no_secrets(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"{name!r} is not a name of an environment variable")
            if looks_like_a_secret(name):
                raise ValueError(f"{name} looks like a secret, and scripts are read by others; set it on the nodes")
        return environment

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.nodes > 1 and self.slurm is None:
            raise ValueError(f"{self.nodes} nodes need a section slurm (an empty one will do: `slurm: {{}}`)")
        if (self.driver == "megatron-lm") != (self.megatron_lm is not None):
            raise ValueError("driver megatron-lm and section megatron_lm (with checkout) belong together")
        if self.driver == "megatron-lm" and not self.gpus_per_node:
            raise ValueError("Megatron-LM trains on GPUs only; set gpus_per_node, or driver tokensieve")
        return self


def looks_like_a_secret(name: str) -> bool:
    """True for names of environment variables such as HF_TOKEN, AWS_SECRET_ACCESS_KEY, DB_PASSWORD."""
    return SECRET_NAME.search(name) is not None
