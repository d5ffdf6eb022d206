"""A launch as a whole: planned first, printed in full, and started only on request."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.pretrain.launch.made import COUNTING, GPUS, faults, megatron_lm, pretrain, with_splits
from tokensieve.pretrain.errors import LaunchError, ManifestError, TrainingError
from tokensieve.pretrain.launch.config import LaunchConfig
from tokensieve.pretrain.launch.launch import Launch, passed_on, prepare
from tokensieve.pretrain.launch.run_filter import RunFilter
from tokensieve.pretrain.samples.filter_config import FilterConfig
from tokensieve.pretrain.shards.manifest import Manifest
from tokensieve.pretrain.training.plan import PlanError

SECRETS = {"HF_TOKEN": "tell-nobody", "AWS_SECRET_ACCESS_KEY": "nor-this", "NCCL_SECRET": "nor-that"}


@pytest.fixture
def shards(write_corpus) -> Path:
    return with_splits(write_corpus(COUNTING, COUNTING), "train", "valid")


def launch(shards: Path, settings: dict | LaunchConfig | None = None, config=None, out="run") -> Launch:
    section = settings if isinstance(settings, LaunchConfig) else LaunchConfig.model_validate(settings or {})
    place = shards.parent
    return prepare(config or pretrain(), section, shards=shards, out=place / out, project="a: 1\n", folder=place)


def text(made: Launch, name: str) -> str:
    return next(content for path, content in made.files.items() if path.name == name)


def target(made: Launch) -> list[str]:
    """What torchrun starts, by the shell's own rules."""
    script = text(made, "run.sh")
    inside = script[script.index("command=(") + 9 : script.index("\n)\n")]
    words = shlex.split(inside)
    return words[words.index("-m", words.index("torch.distributed.run")) :]


def test_one_node_starts_our_loop_with_the_written_configuration(shards):
    made = launch(shards, {"cpu_processes": 2})
    folder = shards.parent / "run" / "launch"
    assert list(made.files) == [folder / "config.yaml", folder / "run.sh"]
    assert made.command == ("bash", f"{folder}/run.sh")
    assert target(made) == ["-m", "tokensieve.jobs.cli", "pretrain", "resume", "--config", f"{folder}/config.yaml"]
    assert text(made, "config.yaml") == "a: 1\n"


def test_slurm_starts_the_same_script_through_a_job(shards):
    made = launch(shards, {"slurm": {"partition": "p"}})
    folder = shards.parent / "run" / "launch"
    assert made.command == ("sbatch", f"{folder}/job.sbatch")
    assert f"bash {folder}/run.sh &" in text(made, "job.sbatch")
    assert f"#SBATCH --output={folder}/slurm-%j.out" in text(made, "job.sbatch")


def test_everything_that_would_be_done_is_printed_and_nothing_is_written(shards):
    made = launch(shards, megatron_lm())
    printed = "\n".join(made.lines())
    for part in (made.plan.lines()[0], *(str(path) for path in made.files), *made.files.values(), "sbatch /"):
        assert part.strip() in printed
    assert "checkpoint.keep_last 2 does not apply" in printed
    assert not (shards.parent / "run").exists()


def test_megatron_lm_gets_its_arguments_its_splits_and_the_filter(shards):
    config = pretrain(filter={"mode": "hide", "from_step": 2})
    made = launch(shards, megatron_lm(), config)
    folder = shards.parent / "run" / "launch"
    words = target(made)
    assert words[:6] == [
        "-m",
        "tokensieve.pretrain.launch.megatron_lm_entry",
        "--tokensieve-filter",
        f"{folder}/filter.json",
        "--tokensieve-megatron-lm",
        "/opt/megatron-lm",
    ]
    assert faults(words[6:]) == []
    assert words[words.index("--per-split-data-args-path") + 1] == f"{folder}/splits.json"
    corpus_id = Manifest.load(shards).id
    assert words[words.index("--data-cache-path") + 1] == f"{shards.parent}/run/index-cache/{corpus_id}"
    assert json.loads(text(made, "splits.json"))["valid"] == ["104", f"{shards}/shard-00001"]
    assert RunFilter.model_validate_json(text(made, "filter.json")) == RunFilter(
        shards=str(shards),
        corpus_id=corpus_id,
        filter=FilterConfig(mode="hide", from_step=2),
        level=None,
        first_filtered_sample=32,
    )


def test_scripts_set_what_was_asked_for_and_no_variable_of_this_shell(shards, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    made = launch(shards, {"environment": {"NCCL_DEBUG": "INFO it's"}})
    exports = [line for line in text(made, "run.sh").splitlines() if line.startswith("export")]
    assert exports == [
        "export OMP_NUM_THREADS=1",
        "export CUDA_VISIBLE_DEVICES=''",
        "export NCCL_DEBUG='INFO it'\"'\"'s'",
    ]
    assert not any(value in "\n".join(made.lines()) for value in SECRETS.values())
    assert set(passed_on(os.environ)) >= {"PATH"}
    assert not set(passed_on(os.environ)) & set(SECRETS)


def test_tensor_parallel_megatron_lm_has_the_variable_that_it_insists_on(shards):
    made = launch(shards, megatron_lm(), pretrain(parallel={"tensor": 2}))
    assert "export CUDA_DEVICE_MAX_CONNECTIONS=1\n" in text(made, "run.sh")


@pytest.mark.parametrize(
    ("settings", "config", "error", "message"),
    [
        ({"cpu_processes": 3}, {}, PlanError, "16 is not a multiple of micro_batch_size 2 x 3 processes = 6"),
        (GPUS, {"parallel": {"tensor": 3}}, PlanError, "8 processes are not a multiple of tensor 3"),
        ({}, {"device": "cuda"}, LaunchError, "device is cuda, but launch.gpus_per_node is 0"),
        (GPUS, {"device": "cpu"}, LaunchError, "device is cpu, but launch.gpus_per_node is 4"),
        ({}, {"steps": 1000}, PlanError, "1000 steps of 16 samples need 16000 samples"),
    ],
)
def test_run_that_cannot_be_done_is_refused_before_anything_is_printed(shards, settings, config, error, message):
    with pytest.raises(error, match=message):
        launch(shards, settings, pretrain(**config))


def test_launch_without_shards_says_which_command_comes_first(tmp_path):
    with pytest.raises(ManifestError, match="run `tokensieve export` first"):
        launch(tmp_path)


def program(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)
    return path


def test_submitted_job_gets_its_script_and_a_clean_environment(shards, tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    program(folder, "sbatch", f'printf "%s\\n" "$@" > {folder}/given\nenv > {folder}/env\necho "Submitted batch job 7"')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    made = launch(shards, {"slurm": {}}, out="run of it's")
    assert made.submit() == "Submitted batch job 7"
    assert (folder / "given").read_text() == f"{shards.parent}/run of it's/launch/job.sbatch\n"
    assert {path: path.read_text() for path in made.files} == made.files
    assert not any(value in (folder / "env").read_text() for value in SECRETS.values())
    for path in made.files:
        if path.suffix in (".sh", ".sbatch"):
            subprocess.run(["bash", "-n", str(path)], check=True, timeout=20)


def test_job_that_sbatch_refuses_says_why(shards, tmp_path, monkeypatch):
    program(tmp_path / "bin", "sbatch", "echo 'sbatch: error: invalid partition specified: p' >&2\nexit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(LaunchError, match=r"job\.sbatch: sbatch: error: invalid partition specified: p"):
        launch(shards, {"slurm": {"partition": "p"}}).submit()


def test_submitting_without_sbatch_writes_nothing_and_names_it(shards, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="sbatch is not on PATH, nothing was written"):
        launch(shards, {"slurm": {}}).submit()
    assert not (shards.parent / "run").exists()


def test_submitted_run_of_one_node_is_started_here_and_its_failure_is_an_error(shards, tmp_path):
    agent = program(tmp_path / "bin", "py", f'printf "%s\\n" "$PWD" "$@" > {tmp_path}/given\nexit ${{CODE:-0}}')
    assert launch(shards, {"python": str(agent)}).submit() == ""
    given = (tmp_path / "given").read_text().splitlines()
    assert given[:3] == [str(shards.parent), "-m", "torch.distributed.run"]
    with pytest.raises(TrainingError, match=r"run.sh ended with 5; what the trainers said is above"):
        launch(shards, {"python": str(agent), "environment": {"CODE": "5"}}).submit()


def test_filter_of_another_corpus_is_refused_where_the_run_starts(shards):
    made = launch(shards, megatron_lm())
    planned = RunFilter.model_validate_json(text(made, "filter.json"))
    assert planned.corpus().id == planned.corpus_id
    with_splits(shards, "train", "test")
    with pytest.raises(LaunchError, match=f"the run was planned for {planned.corpus_id}"):
        planned.corpus()
    with pytest.raises(LaunchError, match="No such file"):
        RunFilter.load(shards / "filter.json")
