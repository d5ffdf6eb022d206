"""Section `launch`: what it refuses, by name and with what to do."""

import pytest
from pydantic import ValidationError

from tokensieve.pretrain.launch.config import LaunchConfig, looks_like_a_secret

CHECKOUT = {"checkout": "/opt/megatron-lm"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nodes": 2}, "2 nodes need a section slurm"),
        ({"driver": "megatron-lm", "gpus_per_node": 1}, "driver megatron-lm and section megatron_lm"),
        ({"megatron_lm": CHECKOUT}, "driver megatron-lm and section megatron_lm"),
        ({"driver": "megatron-lm", "megatron_lm": CHECKOUT}, "Megatron-LM trains on GPUs only; set gpus_per_node"),
        ({"environment": {"HF_TOKEN": "x"}}, "HF_TOKEN looks like a secret"),
        ({"environment": {"A B": "x"}}, "'A B' is not a name of an environment variable"),
        ({"environment": {"A": "x\ny"}}, "holds a line end"),
        ({"slurm": {"time": 43200}}, "write the time in quotes"),
        ({"slurm": {"time": "noon"}}, "'noon' is not a time of Slurm"),
        ({"slurm": {"job_name": "a\n#SBATCH --uid=0"}}, "holds a line end"),
        ({"slurm": {"extra": ["exclusive"]}}, "'exclusive' is not a long option of sbatch"),
        ({"slurm": {"extra": ["--export=ALL"]}}, "--export is the launcher's own"),
        ({"slurm": {"partitoin": "gpu"}}, "partitoin"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        LaunchConfig.model_validate(settings)


@pytest.mark.parametrize("time", ["90", "30:00", "12:00:00", "2-0", "2-12:30", "2-12:30:00"])
def test_every_form_of_a_slurm_time_is_taken(time):
    launch = LaunchConfig.model_validate({"slurm": {"time": time}})
    assert launch.slurm is not None
    assert launch.slurm.time == time


@pytest.mark.parametrize(
    "name",
    ["WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "PGPASSWORD", "my_token", "GITHUB_TOKENS"],
)
def test_names_of_secrets_are_known(name):
    assert looks_like_a_secret(name)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "NCCL_DEBUG", "KEYBOARD", "OMP_NUM_THREADS", "PATH"])
def test_names_that_only_resemble_a_secret_are_not(name):
    assert not looks_like_a_secret(name)


def test_processes_are_gpus_or_cpu_processes_of_every_node():
    assert LaunchConfig().world_size == 1
    assert LaunchConfig(cpu_processes=3).world_size == 3
    assert LaunchConfig.model_validate({"nodes": 4, "gpus_per_node": 8, "slurm": {}}).world_size == 32
