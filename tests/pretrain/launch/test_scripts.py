"""The two shell scripts: literal text, safe quoting, and what they do with signals, on real shells."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensieve.pretrain.launch.config import LaunchConfig
from tokensieve.pretrain.launch.node_script import node_script
from tokensieve.pretrain.launch.slurm_script import slurm_script

GOLDEN = Path(__file__).parent / "golden"
CLUSTER = {
    "nodes": 4,
    "gpus_per_node": 8,
    "max_restarts": 2,
    "slurm": {
        "partition": "gpu",
        "account": "a-1",
        "qos": "high",
        "time": "12:00:00",
        "cpus_per_task": 64,
        "mem": "500G",
        "job_name": "medicine, masked",
        "container": {"image": "nvcr.io/nvidia/pytorch:25.09-py3", "mounts": ["/data:/data", "/code:/code:ro"]},
        "extra": ["--exclusive", "--comment='two words'"],
    },
}
# What torchrun looks like from outside: it has a child, and ends as the child does.
AGENT = """#!/usr/bin/env bash
bash -c 'trap "sleep 0.3; echo saved > saved; exit 0" TERM; echo > ready; while true; do sleep 0.05; done' &
wait $!
"""
RESTARTING_AGENT = """#!/usr/bin/env bash
for start in first second third; do
  bash -c 'trap "exit 1" TERM; echo '$start' >> started; echo > ready; while true; do sleep 0.05; done' &
  wait $! || true
done
exit 7
"""


def node(settings, target=("-m", "tokensieve.jobs.cli", "--config", "/run/launch/config.yaml"), **changes) -> str:
    options = {"python": "/env/bin/python", "folder": Path("/project"), "environment": {"OMP_NUM_THREADS": "1"}}
    return node_script(LaunchConfig.model_validate(settings), target, **(options | changes))


def job(settings, **changes) -> str:
    launch = LaunchConfig.model_validate(settings)
    assert launch.slurm is not None
    places = {"run_script": Path("/run/launch/run.sh"), "log_folder": Path("/run/launch")}
    return slurm_script(launch, launch.slurm, **(places | changes))


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def wait_for(path: Path, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("one_node.sh", node({"cpu_processes": 2})),
        ("many_nodes.sh", node(CLUSTER)),
        ("job.sbatch", job(CLUSTER)),
        ("job_plain.sbatch", job({"slurm": {"requeue": False, "signal": "TERM", "signal_seconds": 60}})),
    ],
)
def test_scripts_are_literally_these(name, text):
    assert text == (GOLDEN / name).read_text()


@pytest.mark.parametrize("name", ["one_node.sh", "many_nodes.sh", "job.sbatch", "job_plain.sbatch"])
def test_scripts_are_valid_shell(name):
    subprocess.run(["bash", "-n", str(GOLDEN / name)], check=True, timeout=20)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), max_size=12),
        min_size=1,
        max_size=4,
    )
)
def test_words_reach_torchrun_as_they_are_whatever_they_hold(tmp_path_factory, words):
    folder = tmp_path_factory.mktemp('it\'s a "$HOME" `x`')
    echo = program(folder, "py thon", '#!/usr/bin/env bash\nprintf \'%s\\0\' "$PWD" "$SET" "$@"\n')
    text = node({}, ["-m", *words], python=str(echo), folder=folder, environment={"SET": words[0]})
    said = subprocess.run(["bash", "-c", text], capture_output=True, check=True, timeout=20).stdout.decode()
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", "--max-restarts=0"]
    assert said.split("\0")[:-1] == [str(folder), words[0], *launcher, "-m", *words]


def test_values_of_sbatch_options_are_quoted_and_a_percent_sign_in_a_folder_is_no_pattern():
    text = job({"slurm": {"job_name": "a $b 'c' #d", "partition": "p q"}}, log_folder=Path("/50% off"))
    options = [shlex.split(line)[1] for line in text.splitlines() if line.startswith("#SBATCH")]
    assert "--job-name=a $b 'c' #d" in options
    assert "--partition=p q" in options
    assert "--output=/50%% off/slurm-%j.out" in options


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_reaches_the_trainers_and_the_script_waits_until_they_have_saved(tmp_path, sent):
    agent = program(tmp_path, "agent", AGENT)
    running = subprocess.Popen(["bash", "-c", node({}, python=str(agent), folder=tmp_path)])
    wait_for(tmp_path / "ready")
    running.send_signal(sent)
    assert running.wait(timeout=20) == 0
    assert (tmp_path / "saved").exists()


def test_trainers_that_torchrun_would_start_again_after_the_signal_are_ended(tmp_path):
    agent = program(tmp_path, "agent", RESTARTING_AGENT)
    running = subprocess.Popen(["bash", "-c", node({}, python=str(agent), folder=tmp_path)])
    wait_for(tmp_path / "ready")
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=20) == 7
    assert (tmp_path / "started").read_text().split() == ["first", "second", "third"]


def test_exit_code_of_torchrun_is_that_of_the_script(tmp_path):
    agent = program(tmp_path, "agent", "#!/usr/bin/env bash\nexit 9\n")
    done = subprocess.run(["bash", "-c", node({}, python=str(agent), folder=tmp_path)], timeout=20)
    assert done.returncode == 9


def cluster(folder: Path, srun: str) -> dict[str, str]:
    """Fake commands of Slurm on PATH; `calls` records what scontrol and srun were given."""
    program(folder, "scontrol", f'#!/usr/bin/env bash\necho "scontrol $*" >> {folder}/calls\nprintf "n1\\nn2\\n"\n')
    program(folder, "srun", f'#!/usr/bin/env bash\necho "srun $MASTER_ADDR:$MASTER_PORT $*" >> {folder}/calls\n{srun}')
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_JOB_ID": "41007",
        "SLURM_EXPORT_ENV": "NONE",
    }


def test_job_meets_on_its_first_node_and_starts_the_script_on_each(tmp_path):
    environment = cluster(tmp_path, f'echo "export ${{SLURM_EXPORT_ENV-unset}}" >> {tmp_path}/calls\nexit 3\n')
    done = subprocess.run(["bash", "-c", job(CLUSTER)], env=environment, timeout=20)
    assert done.returncode == 3
    assert (tmp_path / "calls").read_text().splitlines() == [
        "scontrol show hostnames n[1-2]",
        "srun n1:21007 --kill-on-bad-exit=1 --ntasks-per-node=1 --cpus-per-task=64 "
        "--container-image=nvcr.io/nvidia/pytorch:25.09-py3 --container-mounts=/data:/data,/code:/code:ro "
        "bash /run/launch/run.sh",
        "export unset",
    ]


@pytest.mark.parametrize(("requeue", "calls"), [(True, ["scontrol requeue 41007"]), (False, [])])
def test_job_that_is_stopped_goes_back_into_the_queue_where_that_is_wanted(tmp_path, requeue, calls):
    wait = (
        f"trap 'echo saved >> {tmp_path}/calls; exit 1' USR1\ntouch {tmp_path}/ready\nwhile true; do sleep 0.05; done\n"
    )
    environment = cluster(tmp_path, wait)
    running = subprocess.Popen(["bash", "-c", job({"slurm": {"requeue": requeue}})], env=environment)
    wait_for(tmp_path / "ready")
    running.send_signal(signal.SIGUSR1)
    assert running.wait(timeout=20) == 1
    assert (tmp_path / "calls").read_text().splitlines()[2:] == ["saved", *calls]
