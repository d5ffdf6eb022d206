"""The nightly refresh over Spark Connect: a real server without our code, in another working directory than ours."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms.processes import free_port, running, wait_for
from tests.platforms.refresh_runs import add_shard, equal_to_a_local_run, write_project
from tokensieve.jobs.errors import ServerError
from tokensieve.jobs.spark.connect import connected
from tokensieve.jobs.spark.session import DELTA_SETTINGS, SHIPPED_WITH_SPARK, delta_package

pyspark = pytest.importorskip("pyspark", reason="the Spark verbs need tokensieve[spark]")
pytest.importorskip("grpc_status", reason="Spark Connect needs tokensieve[connect]")
SPARK_SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"
pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def server(tmp_path_factory, clean_environment) -> Iterator[str]:
    """A Connect server with two task slots and the Delta connector; yields its address."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    settings = DELTA_SETTINGS | {
        "spark.jars.packages": delta_package(),
        "spark.jars.excludes": SHIPPED_WITH_SPARK,
        "spark.connect.grpc.binding.port": str(port),
        "spark.ui.enabled": "false",
        "spark.databricks.delta.snapshotPartitions": "2",
    }
    given = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    main = "org.apache.spark.sql.connect.service.SparkConnectServer"
    command = [str(SPARK_SUBMIT), "--class", main, "--master", "local[2]", *given, "spark-internal"]
    with running(command, folder / "server.log", folder, clean_environment):
        wait_for(folder / "server.log", "Spark Connect server started")
        yield f"sc://127.0.0.1:{port}"


def refresh(project: Path, repository: Path, remote: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    """`tokensieve refresh` as a process of its own, in the project's folder."""
    command = [sys.executable, "-m", "tokensieve.jobs.cli", "refresh", "--config", "corpus.yaml", "--json"]
    command += [f"spark.remote={remote}", "spark.shuffle_partitions=2", *overrides]
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=280)


def one_run(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("format", ["parquet", "delta"])
def test_two_runs_over_connect_make_the_tables_of_a_local_run(server, repository, tmp_path, spark, format):
    write_project(tmp_path)
    add_shard(tmp_path, repository, 0)
    first = one_run(refresh(tmp_path, repository, server, f"tables.format={format}"))
    assert (first["state"], first["sources"]["new"], first["documents"]["in"]) == ("done", 1, 12)
    add_shard(tmp_path, repository, 1)
    second = one_run(refresh(tmp_path, repository, server, f"tables.format={format}"))
    assert (second["sources"]["new"], second["sources"]["kept"], second["documents"]["in"]) == (1, 1, 24)
    assert equal_to_a_local_run(tmp_path, format, spark)["in"] == 24
    nobody = f"sc://127.0.0.1:{free_port()}"
    third = one_run(refresh(tmp_path, repository, nobody, f"tables.format={format}"))
    assert third["state"] == "nothing_new", "a refresh without work asks no server"


def test_a_server_that_does_not_answer_is_named_and_its_token_is_not(monkeypatch):
    monkeypatch.setattr("tokensieve.jobs.spark.connect.ANSWERS_S", 2)
    with pytest.raises(ServerError, match=r"no Spark Connect server answers at sc://127.0.0.1:\d+/ within") as told:
        connected(f"sc://127.0.0.1:{free_port()}/;token=geheim", {})
    assert "geheim" not in str(told.value)


@pytest.mark.parametrize(
    ("address", "override", "told"),
    [
        ("sc://spark.example/;token=geheim", "spark.master=null", "spark.remote holds a token"),
        ("sc://127.0.0.1:15002", "spark.master=local[2]", "spark.master=local[2], but spark.remote or SPARK_REMOTE"),
    ],
)
def test_a_wrong_address_is_refused_before_anything_runs(repository, tmp_path, address, override, told):
    write_project(tmp_path)
    add_shard(tmp_path, repository, 0)
    done = refresh(tmp_path, repository, address, override)
    assert done.returncode == 2
    assert told in done.stderr
    assert "geheim" not in done.stderr
