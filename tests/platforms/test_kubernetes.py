"""A refresh by spark-submit with the settings and the pod template of docker/kubernetes: Spark's own backend for
Kubernetes, real executors, a stand-in for Kubernetes itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyspark
import pytest

from tests.platforms.kubernetes import driver_pod, kubernetes

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="checks of pods need tokensieve[dev]")
pytestmark = pytest.mark.platform
SPARK_SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"
KUBERNETES = "1.34"
ENVIRONMENT = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}


@pytest.fixture
def settings(repository: Path, tmp_path: Path) -> list[str]:
    """Options of spark-submit: what the CronJob gives, and what is smaller or elsewhere in this test."""
    gpus = tmp_path / "discover_gpus.sh"
    gpus.write_text('#!/bin/sh\necho \'{"name": "gpu", "addresses": ["0"]}\'\n')
    gpus.chmod(0o755)
    folder = repository / "docker" / "kubernetes" / "refresh"
    changed = {
        "spark.kubernetes.executor.podTemplateFile": folder / "executor-pod.yaml",
        "spark.kubernetes.container.image": "registry.example.com/tokensieve-score:cuda",
        "spark.kubernetes.driver.pod.name": "refresh-1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.port": 0,
        "spark.driver.blockManager.port": 0,
        "spark.driver.memory": "1g",
        "spark.executor.instances": 1,
        "spark.executor.cores": 2,
        "spark.executor.memory": "1g",
        "spark.executor.resource.gpu.discoveryScript": gpus,
        "spark.kubernetes.executor.enableApiWatcher": "false",  # polling is enough, the stand-in has no watches
        "spark.kubernetes.executor.apiPollingInterval": "1s",
    }
    defaults = ["--properties-file", str(folder / "spark-defaults.conf")]
    return defaults + [word for key, value in changed.items() for word in ("--conf", f"{key}={value}")]


def submit(options: list[str], repository: Path, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(SPARK_SUBMIT), *options, str(repository / "jobs" / "refresh.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=folder, env=ENVIRONMENT)


@pytest.mark.timeout(600)
def test_a_refresh_runs_on_executor_pods_that_spark_makes_of_our_template(repository, settings, tmp_path):
    with kubernetes(tmp_path, ENVIRONMENT) as (address, namespace):
        namespace.objects["pods", "refresh-1"] = driver_pod("refresh-1")
        done = submit(
            ["--master", f"k8s://{address}", *settings], repository,
            "--config", "demo", "spark.master=null", f"tables.root={tmp_path / 'tables'}", "--json", folder=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-4000:]
    run = json.loads(done.stdout.strip().splitlines()[-1])
    assert (run["state"], run["documents"]["in"]) == ("done", 176)
    (pod,) = namespace.asked
    check_executor(pod)


def check_executor(pod: dict[str, Any]) -> None:
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "registry.example.com/tokensieve-score:cuda"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["serviceAccountName"] == "tokensieve-executor"
    assert pod["spec"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Pod", "refresh-1")


def test_spark_submit_ends_with_the_exit_code_that_the_cronjob_looks_at(repository, settings, tmp_path):
    with kubernetes(tmp_path, ENVIRONMENT) as (address, _):
        done = submit(
            ["--master", f"k8s://{address}", *settings], repository,
            "--config", "demo", "spark.master=null", f"tables.root={tmp_path}", "soruce.path=x", folder=tmp_path,
        )  # fmt: skip
    assert done.returncode == 2
    assert "unknown key soruce" in done.stdout, "spark-submit sends there what Python says"
