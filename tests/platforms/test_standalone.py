"""The verbs as spark-submit applications: a standalone cluster of real processes, and only the built wheel.

Driver and executors run in different folders, and the paths in the configuration are relative to the driver's.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms.refresh_runs import add_shard, equal_to_a_local_run, write_project
from tests.platforms.standalone import SPARK_SUBMIT, Cluster, standalone
from tokensieve.udfs.scoring.heartbeat import NAME

pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, clean_environment) -> Iterator[Cluster]:
    with standalone(tmp_path_factory.mktemp("cluster"), clean_environment) as running:
        yield running


@pytest.fixture
def submit(wheel, repository, tmp_path, clean_environment):
    """Starts a verb's application with the wheel, in the project's folder."""

    def start(cluster: Cluster, verb: str, *words: str) -> subprocess.Popen[str]:
        command = [
            str(SPARK_SUBMIT), "--master", cluster.address, "--conf", "spark.executor.memory=700m",
            "--py-files", str(wheel), str(repository / "jobs" / f"{verb}.py"),
            "--config", "corpus.yaml", "--json", "spark.shuffle_partitions=2", *words,
        ]  # fmt: skip
        log = (tmp_path / f"{verb}.log").open("w")
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=tmp_path, env=clean_environment
        )

    return start


def result(process: subprocess.Popen[str]) -> dict:
    """The JSON that a verb ends with."""
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 0, said[-3000:]
    return json.loads(said.strip().splitlines()[-1])


@pytest.mark.timeout(900)  # three Java processes share what a machine has
def test_two_runs_by_spark_submit_make_the_tables_of_a_local_run(cluster, submit, repository, tmp_path, spark):
    write_project(tmp_path)
    add_shard(tmp_path, repository, 0)
    first = result(submit(cluster, "refresh"))
    assert (first["state"], first["sources"]["new"], first["documents"]["in"]) == ("done", 1, 12)
    add_shard(tmp_path, repository, 1)
    second = result(submit(cluster, "refresh"))
    assert (second["sources"]["new"], second["sources"]["kept"], second["documents"]["in"]) == (1, 1, 24)
    assert equal_to_a_local_run(tmp_path, "parquet", spark)["in"] == 24
    assert result(submit(cluster, "refresh"))["state"] == "nothing_new"
    assert result(submit(cluster, "mask"))["documents"]["in"] == 24, "every verb is an application"


def test_the_exit_code_of_a_wrong_configuration_comes_through_spark_submit(cluster, submit, tmp_path):
    write_project(tmp_path)
    process = submit(cluster, "refresh", "score.colour=red")
    said, _ = process.communicate(timeout=200)  # spark-submit puts what Python says into standard output
    assert (process.returncode, "unknown key score.colour" in said) == (2, True)


@pytest.mark.timeout(900)
def test_a_worker_killed_while_it_scores_changes_nothing(
    tmp_path_factory, clean_environment, submit, repository, tmp_path, spark
):
    write_project(tmp_path)
    add_shard(tmp_path, repository, 0)
    add_shard(tmp_path, repository, 1)
    with standalone(tmp_path_factory.mktemp("dying"), clean_environment) as cluster:
        process = submit(cluster, "refresh", "score.partition_mb=1")
        wait_for_tasks(tmp_path / "tables" / "_progress", 2, process)
        cluster.lose(0)
        assert result(process)["documents"]["in"] == 24
    assert equal_to_a_local_run(tmp_path, "parquet", spark)["in"] == 24


def wait_for_tasks(folder: Path, wanted: int, process: subprocess.Popen[str], seconds: float = 200) -> None:
    """Waits until so many scoring tasks have given a sign of life."""
    deadline = time.monotonic() + seconds
    while len(list(folder.glob(f"run-*/{NAME}"))) < wanted:
        assert process.poll() is None, "the driver ended before a worker could be killed"
        assert time.monotonic() < deadline, f"no {wanted} tasks began in {folder}"
        time.sleep(0.05)


def test_installed_from_the_wheel_alone_presets_and_bundles_are_found(wheel, bare_python, clean_environment, tmp_path):
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, timeout=100)
    environment = clean_environment | {"PYTHONPATH": str(target)}
    code = (
        "import json, tokensieve; from tokensieve.jobs.config.corpus import load_config;"
        "from tokensieve.jobs.policies.rules import rule_set; from tokensieve.jobs.source.listing import list_files;"
        "from tokensieve.jobs.exporting.tokenizer import tokenizer_info;"
        "c = load_config('demo');"
        "print(json.dumps([tokensieve.__file__, rule_set(c.policies).rule_id, list_files(c.source).documents,"
        "tokenizer_info(c.export)[1].vocab_size]))"
    )
    done = subprocess.run(
        [str(bare_python), "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=100
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    file, rule_id, documents, vocabulary = json.loads(done.stdout)
    assert file.startswith(str(target))
    assert (len(rule_id), documents, vocabulary) == (16, 176, 4096)
