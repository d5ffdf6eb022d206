"""A launch: the plan, the files it needs and the command that starts it, all made before anything is written.

Nothing outside the run's folder `launch` is written, and a job gets no variable of this shell but those named in
`environment` and a short list that a process needs to run at all. For Megatron-LM one of the files names the shards of
each split and their weights (`--per-split-data-args-path`), so that it never cuts splits by position. A shard's weight
is its number of samples; in a blend, its source's weight times its share of the source's samples.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokensieve.pretrain.errors import LaunchError, TrainingError
from tokensieve.pretrain.hashed_file import replace_file
from tokensieve.pretrain.launch.config import LaunchConfig, MegatronLmConfig, looks_like_a_secret
from tokensieve.pretrain.launch.megatron_lm_arguments import MegatronLmPaths, megatron_lm_arguments, notes
from tokensieve.pretrain.launch.node_script import node_script
from tokensieve.pretrain.launch.run_filter import RunFilter
from tokensieve.pretrain.launch.slurm_script import slurm_script
from tokensieve.pretrain.samples.corpus import Corpus, CorpusShard, samples_in
from tokensieve.pretrain.shards.manifest import SPLITS
from tokensieve.pretrain.training.config import PretrainConfig
from tokensieve.pretrain.training.plan import Plan, plan

RUN_SCRIPT, JOB_SCRIPT, CONFIG, SPLITS_FILE, FILTER = (
    "run.sh",
    "job.sbatch",
    "config.yaml",
    "splits.json",
    "filter.json",
)
PASSED_ON = re.compile(
    "PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|LANG|LC_[A-Z]+|TZ|LD_LIBRARY_PATH|PYTHONPATH|VIRTUAL_ENV|CONDA_PREFIX|"
    "SLURM_CONF|(CUDA|NVIDIA|NCCL|GLOO|OMP|MKL|TORCH|TRITON|XDG)_[A-Z_]+"
)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A run that can be started. `files` by absolute path; `command` starts it and needs them."""

    plan: Plan
    files: Mapping[Path, str]
    command: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Everything that would be done, for a terminal."""
        shown = [*self.plan.lines(), *(f"note              {note}" for note in self.notes)]
        for path, text in self.files.items():
            shown += ["", f"==> {path} <==", *text.rstrip("\n").split("\n")]
        return [*shown, "", f"command           {shlex.join(self.command)}"]

    def submit(self) -> str:
        """Write the files and start the run; what sbatch answered, or the empty string when the run has ended.

        Raises LaunchError without sbatch or when it refuses the job, TrainingError when trainers of this node fail.
        """
        queued = self.command[0] == "sbatch"
        if queued and shutil.which("sbatch") is None:
            raise LaunchError(
                "sbatch is not on PATH, nothing was written; run this on a login node of the Slurm cluster, or take "
                "section launch.slurm out to train on this machine"
            )
        for path, text in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode())
        environment = passed_on(os.environ)
        if not queued:
            if code := subprocess.run(self.command, env=environment, check=False).returncode:
                raise TrainingError(f"{shlex.join(self.command)} ended with {code}; what the trainers said is above")
            return ""
        done = subprocess.run(self.command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            raise LaunchError(f"sbatch refused {self.command[-1]}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()


def prepare(
    config: PretrainConfig, launch: LaunchConfig, *, shards: Path, out: Path, project: str, folder: Path
) -> Launch:
    """The launch of a run of `config` over `shards` into `out`.

    Args: the project's YAML as the trainers shall read it, and the folder where they start (its relative paths).
    Raises LaunchError, PlanError, ManifestError.
    """
    _refuse_device(config, launch)
    todo = plan(config, shards, world_size=launch.world_size)
    place = out.absolute() / "launch"
    if launch.megatron_lm is None:
        files = {place / CONFIG: project}
        target = _our_loop(place)
    else:
        corpus = Corpus.load(shards.absolute(), config.manifest)
        files = _megatron_lm_files(config, todo, corpus, place)
        target = _megatron_lm(config, launch.megatron_lm, todo, corpus, place)
    run_script = place / RUN_SCRIPT
    files[run_script] = node_script(
        launch,
        target,
        python=launch.python or sys.executable,
        folder=folder.absolute(),
        environment=_environment(config, launch),
    )
    command = ("bash", str(run_script))
    if launch.slurm:
        job = place / JOB_SCRIPT
        files[job] = slurm_script(launch, launch.slurm, run_script=run_script, log_folder=place)
        command = ("sbatch", str(job))
    return Launch(plan=todo, files=files, command=command, notes=tuple(notes(config)) if launch.megatron_lm else ())


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of this shell that a started process gets: those it cannot run without, and no secret."""
    return {
        name: value
        for name, value in environment.items()
        if PASSED_ON.fullmatch(name) and not looks_like_a_secret(name)
    }


def split_arguments(corpus: Corpus, seq_length: int) -> str:
    """JSON text: `{"train": [weight, prefix, weight, prefix, ...], "valid": ..., "test": ...}`, null without shards."""
    splits = {split: _zipped(corpus.shards(split, seq_length), seq_length) for split in SPLITS}
    return json.dumps(splits, indent=2) + "\n"


def _refuse_device(config: PretrainConfig, launch: LaunchConfig) -> None:
    if config.device == "cuda" and not launch.gpus_per_node:
        raise LaunchError("pretrain.device is cuda, but launch.gpus_per_node is 0; set it to the GPUs of a node")
    if config.device == "cpu" and launch.gpus_per_node:
        raise LaunchError(f"pretrain.device is cpu, but launch.gpus_per_node is {launch.gpus_per_node}; set it to 0")


def _environment(config: PretrainConfig, launch: LaunchConfig) -> dict[str, str]:
    derived = {"OMP_NUM_THREADS": "1"} if launch.gpus_per_node else {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if launch.megatron_lm and config.parallel.tensor > 1:
        derived["CUDA_DEVICE_MAX_CONNECTIONS"] = "1"  # Megatron-LM asks for it before Blackwell
    return derived | launch.environment


def _our_loop(place: Path) -> list[str]:
    """`pretrain resume` starts the run where there is no checkpoint: a job that is queued again goes on."""
    return ["-m", "tokensieve.jobs.cli", "pretrain", "resume", "--config", str(place / CONFIG)]


def _megatron_lm_files(config: PretrainConfig, todo: Plan, corpus: Corpus, place: Path) -> dict[Path, str]:
    settings = RunFilter(
        shards=str(corpus.folder),
        corpus_id=corpus.id,
        filter=config.filter,
        level=todo.score_level,
        first_filtered_sample=todo.filter_from_step * config.global_batch_size,
    )
    return {
        place / SPLITS_FILE: split_arguments(corpus, config.seq_length),
        place / FILTER: settings.model_dump_json(indent=2) + "\n",
    }


def _megatron_lm(
    config: PretrainConfig, options: MegatronLmConfig, todo: Plan, corpus: Corpus, place: Path
) -> list[str]:
    checkout = str(Path(options.checkout).absolute())
    paths = MegatronLmPaths(
        out=place.parent, splits=place / SPLITS_FILE, index_cache=place.parent / "index-cache" / corpus.id
    )
    ours = ["--tokensieve-filter", str(place / FILTER), "--tokensieve-megatron-lm", checkout]
    words = [*ours, *megatron_lm_arguments(config, options, todo, corpus, paths)]
    return ["-m", "tokensieve.pretrain.launch.megatron_lm_entry", *words]


def _zipped(shards: list[CorpusShard], seq_length: int) -> list[str] | None:
    pairs = [(_weight(shard, seq_length), str(shard.prefix.absolute())) for shard in shards]
    return [word for pair in pairs for word in pair] or None


def _weight(shard: CorpusShard, seq_length: int) -> str:
    return str(samples_in(shard.info.tokens, seq_length)) if shard.weight is None else repr(shard.weight)
