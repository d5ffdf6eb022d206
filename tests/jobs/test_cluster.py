"""The verbs as spark-submit applications: a real standalone master, two worker processes, and only the built wheel."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pretrain.shards.manifest import Manifest

pyspark = pytest.importorskip("pyspark", reason="the Spark verbs need tokensieve[spark]")
SPARK_CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"
SPARK_SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, repository) -> Path:
    """The wheel, built from a copy so that the checkout stays clean."""
    copy = tmp_path_factory.mktemp("build") / "tokensieve"
    skip = shutil.ignore_patterns(".*", "out", "build", "dist", "tests", "*.egg-info", "__pycache__")
    shutil.copytree(repository, copy, ignore=skip)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    (built,) = (copy / "dist").glob("tokensieve-*.whl")
    return built


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """An interpreter that sees our dependencies, but not the checkout."""
    folder = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=100)
    (site,) = folder.glob("lib/python3*/site-packages")
    # A path added by a .pth file is searched, but .pth files in it are not read: the editable install stays unseen.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, bare_python) -> Iterator[str]:
    """A standalone cluster of one master and two workers with one core each; yields its address."""
    folder = tmp_path_factory.mktemp("cluster")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"spark://127.0.0.1:{port}"
    environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_WORKER_DIR": str(folder / "work")}
    deploy = "org.apache.spark.deploy"
    commands = [[f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]]
    worker = [f"{deploy}.worker.Worker", "--cores", "1", "--memory", "1g", "--webui-port", "0", address]
    logs = [(folder / f"{name}.log").open("wb") for name in ("master", "worker-1", "worker-2")]
    running = []
    try:
        for command, log in zip([*commands, worker, worker], logs):
            running.append(
                subprocess.Popen([str(SPARK_CLASS), *command], stdout=log, stderr=log, env=environment, cwd=folder)
            )
        _wait_for(folder / "master.log", "Registering worker", 2)
        yield address
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(30)
        for log in logs:
            log.close()


def _wait_for(log: Path, text: str, times: int, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while log.read_text(errors="replace").count(text) < times:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{text!r} was not logged {times} times:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)


def clean_environment(python: Path) -> dict[str, str]:
    ours = os.environ | {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(python),
        "PYSPARK_DRIVER_PYTHON": str(python),
    }
    return {key: value for key, value in ours.items() if key != "PYTHONPATH"}


@pytest.mark.timeout(900)  # three Java processes share what a machine has
def test_the_verbs_run_by_spark_submit_from_the_zipped_wheel_on_two_workers(
    cluster, wheel, bare_python, repository, tmp_path
):
    counts = {}
    for verb in ("score", "mask", "export"):
        command = [
            str(SPARK_SUBMIT), "--master", cluster, "--conf", "spark.executor.memory=700m",
            "--py-files", str(wheel), str(repository / "jobs" / f"{verb}.py"),
            "--config", "demo", f"tables.root={tmp_path / 'tables'}", "spark.master=null", "--json",
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=280, cwd=tmp_path, env=clean_environment(bare_python)
        )
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        counts[verb] = json.loads(done.stdout.strip().splitlines()[-1])
    assert counts["score"]["documents"]["in"] == counts["score"]["documents"]["scored"] == 176
    assert counts["mask"]["documents"]["in"] == 176
    manifest = Manifest.load(tmp_path / "tables" / "shards")
    assert manifest.verify(tmp_path / "tables" / "shards") == []
    assert manifest.tokens == counts["export"]["tokens"]


def test_installed_from_the_wheel_alone_presets_and_bundles_are_found(wheel, bare_python, tmp_path):
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, timeout=100)
    environment = clean_environment(bare_python) | {"PYTHONPATH": str(target)}
    code = (
        "import json, jobs; from jobs.config import load_config; from jobs.policies import rule_set;"
        "from jobs.scoring.listing import list_files; from jobs.exporting.tokenizer import tokenizer_info;"
        "c = load_config('demo');"
        "print(json.dumps([jobs.__file__, rule_set(c.policies).rule_id, list_files(c.source).documents,"
        "tokenizer_info(c.export)[1].vocab_size]))"
    )
    done = subprocess.run(
        [str(bare_python), "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=100
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    file, rule_id, documents, vocabulary = json.loads(done.stdout)
    assert file.startswith(str(target))
    assert (len(rule_id), documents, vocabulary) == (16, 176, 4096)
