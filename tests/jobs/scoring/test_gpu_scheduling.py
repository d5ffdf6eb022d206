"""One model copy a GPU by Spark's own scheduling, on made-up GPUs: a real cluster of two executors, the real verb."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from tests.jobs.scoring import gpu_cluster
from tokensieve.jobs.errors import ConfigError
from tokensieve.jobs.scoring.stage import GpuTasks, own_workers, scoring_profile
from tokensieve.udfs.scoring import task_device as devices
from tokensieve.udfs.scoring.task_device import TaskDevice, task_device

pytest.importorskip("pyspark", reason="the Spark verbs need tokensieve[spark]")
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What gpu_cluster.py saw."""
    command = [sys.executable, gpu_cluster.__file__, str(tmp_path_factory.mktemp("gpus"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def by_executor(rows: Rows) -> list[Rows]:
    groups: dict[int, Rows] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["began"]):
        groups[row["executor"]].append(row)
    return list(groups.values())


def overlap(rows: Rows) -> bool:
    """Whether two tasks ran at the same time; rows in order of their beginning."""
    return any(later["began"] < earlier["ended"] for earlier, later in zip(rows, rows[1:]))


@pytest.mark.slow
def test_a_stage_without_the_profile_keeps_all_cores_and_takes_no_gpu(found):
    assert len(by_executor(found["wide"])) == 2
    assert any(overlap(rows) for rows in by_executor(found["wide"]))
    assert {row["gpu"] for row in found["wide"]} == {None}


@pytest.mark.slow
def test_scoring_tasks_see_their_gpu_one_at_a_time_an_executor(found):
    assert sorted({row["gpu"] for row in rows}.pop() for rows in by_executor(found["profile"])) == ["0", "1"]
    assert not any(overlap(rows) for rows in by_executor(found["profile"]))


@pytest.mark.slow
def test_workers_of_its_own_are_not_changed_after_a_wider_stage(found):
    assert len({row["pid"] for row in found["wide"]}) > 2
    assert [len({row["pid"] for row in rows}) for rows in by_executor(found["profile"])] == [1, 1]
    assert not {row["pid"] for row in found["profile"]} & {row["pid"] for row in found["wide"]}


@pytest.mark.slow
def test_where_spark_changes_the_workers_all_is_scored_with_one_model_a_gpu_at_a_time(found):
    documents = gpu_cluster.DOCUMENTS
    assert found["score"]["documents"] == {"in": documents, "scored": documents, "quarantine": 0, "reasons": {}}
    lines = found["journal"]
    assert {device for _, _, _, device in lines} == {"gpu-0.0", "gpu-1.0"}, "tasks were given the GPUs 0 and 1"
    assert len([event for _, _, event, _ in lines if event == "loaded"]) > 2, "a worker took over from another"
    assert {int(pid) for _, pid, _, _ in lines} <= {row["pid"] for row in found["spoilt"]}
    for device in ("gpu-0.0", "gpu-1.0"):
        holder = None
        for _, pid, event, _ in (line for line in lines if line[3] == device):
            assert holder in (None, pid), f"{device}: {pid} has {event} a model while {holder} holds one"
            holder = None if event == "dropped" else pid


@pytest.mark.slow
def test_a_dropped_scorer_is_gone_from_its_process(found):
    holders = {device: int(pid) for _, pid, _, device in found["journal"]}.values()
    alive = {row["pid"]: row["models"] for row in found["after"]}
    assert alive == {pid: int(pid in holders) for pid in alive}


def test_a_cpu_takes_no_lease_and_a_gpu_resource_without_cuda_does(monkeypatch):
    monkeypatch.setattr(devices, "_visible_gpus", lambda: 0)
    assert task_device("cpu", "1") is None
    assert task_device("auto", None) is None
    assert task_device("auto", "1") == TaskDevice(device="auto", lease="gpu-1")


def test_the_address_is_the_device_unless_the_process_sees_only_its_own(monkeypatch):
    monkeypatch.setattr(devices, "_physical_name", lambda at: f"uuid-{at}")
    monkeypatch.setattr(devices, "_visible_gpus", lambda: 4)
    assert task_device("auto", "3") == TaskDevice(device="cuda:3", lease="uuid-3")
    assert task_device("cuda", None) == TaskDevice(device="cuda:0", lease="uuid-0")
    with pytest.raises(ValueError, match="given GPU 4, but its process sees the GPUs 0 to 3"):
        task_device("cuda", "4")
    monkeypatch.setattr(devices, "_visible_gpus", lambda: 1)
    assert task_device("auto", "3") == TaskDevice(device="cuda:0", lease="uuid-0")


def test_without_gpus_as_resources_there_is_no_profile_and_workers_are_shared(spark):
    assert scoring_profile(spark, "auto", GpuTasks()) is None
    assert scoring_profile(spark, "cuda", GpuTasks()) is None
    before = spark.conf.get("spark.sql.execution.pyspark.udf.tracebackDumpIntervalSeconds")
    with own_workers(spark):
        assert spark.conf.get("spark.sql.execution.pyspark.udf.tracebackDumpIntervalSeconds") == before


def session(**conf: str) -> Any:
    """A session that says how its cluster is configured."""
    return SimpleNamespace(conf={f"spark.{key.replace('_', '.')}": value for key, value in conf.items()})


GPUS = {"master": "spark://host:7077", "executor_resource_gpu_amount": "2"}


@pytest.mark.parametrize(
    ("conf", "tasks", "cpus", "gpu"),
    [
        ({}, GpuTasks(), 1, 1.0),
        ({"executor_cores": "16"}, GpuTasks(), 8, 1.0),
        ({"executor_cores": "16"}, GpuTasks(per_gpu=4), 2, 0.25),
        ({"executor_cores": "2"}, GpuTasks(per_gpu=4), 1, 0.25),
        ({"executor_cores": "16"}, GpuTasks(cpus=3), 3, 1.0),
        ({"task_cpus": "2"}, GpuTasks(), 2, 1.0),
    ],
)
def test_a_task_asks_for_its_share_of_a_gpu_and_of_the_cores(conf, tasks, cpus, gpu):
    profile = scoring_profile(session(**GPUS, **conf), "auto", tasks)
    assert profile is not None
    assert {name: asked.amount for name, asked in profile.taskResources.items()} == {"cpus": cpus, "gpu": gpu}
    assert profile.executorResources == {}


def test_a_cpu_job_on_a_gpu_cluster_and_local_mode_ask_for_nothing():
    assert scoring_profile(session(**GPUS), "cpu", GpuTasks()) is None
    assert scoring_profile(session(**GPUS | {"master": "local[4]"}), "auto", GpuTasks()) is None


@pytest.mark.parametrize(
    ("conf", "device", "tasks", "message"),
    [
        (
            GPUS | {"executor_pyspark_memory": "2g"},
            "auto",
            GpuTasks(),
            r"unset it and give spark\.executor\.memoryOver",
        ),
        ({"executor_pyspark_memory": "2g"}, "cuda", GpuTasks(), r"spark\.executor\.pyspark\.memory limits the address"),
        (
            GPUS | {"executor_cores": "4"},
            "auto",
            GpuTasks(cpus=5),
            r"cpus_per_gpu_task=5, but spark\.executor\.cores=4",
        ),
    ],
)
def test_settings_that_a_gpu_job_cannot_work_with_are_refused(conf, device, tasks, message):
    with pytest.raises(ConfigError, match=message):
        scoring_profile(session(**conf), device, tasks)


def test_without_gpus_the_limit_of_python_memory_is_the_users_business():
    assert scoring_profile(session(executor_pyspark_memory="2g"), "auto", GpuTasks()) is None


def test_the_discovery_script_prints_what_spark_reads(tmp_path, repository):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nprintf '0\\n1\\n7\\n'\n")
    (tmp_path / "nvidia-smi").chmod(0o700)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    printed = subprocess.run(
        [repository / "docker" / "discover_gpus.sh"], env=environment, capture_output=True, text=True
    )
    assert json.loads(printed.stdout) == {"name": "gpu", "addresses": ["0", "1", "7"]}
