"""The Kubernetes manifests against the real schemas, and against what our verbs say and need."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokensieve.jobs.config.corpus import load_config
from tokensieve.jobs.errors import ConfigError, InputError, QuarantineError

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="checks of manifests need tokensieve[dev]")
VERSIONS = ("1.31", "1.34", "1.37")
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    return repository / "docker" / "kubernetes"


@pytest.fixture(scope="module")
def refresh(folder: Path) -> dict[str, Any]:
    return document(folder / "refresh" / "cronjob.yaml", "CronJob")


@pytest.fixture(scope="module")
def application(folder: Path) -> dict[str, Any]:
    return document(folder / "operator" / "spark-application.yaml", "ScheduledSparkApplication")


def document(path: Path, kind: str) -> dict[str, Any]:
    (found,) = [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] == kind]
    return found


def manifests(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Kubernetes object of the folder; kustomizations, configurations and the operator's kind are not."""
    for path in sorted(folder.rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()):
            if "kind" in one and one["kind"] not in ("Kustomization", "ScheduledSparkApplication"):
                yield f"{path.name}: {one['kind']}", one


def pods(folder: Path, refresh: dict[str, Any], application: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The specification of every pod that we write."""
    yield refresh["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    yield document(folder / "train" / "job.yaml", "Job")["spec"]["template"]["spec"]
    yield document(folder / "refresh" / "executor-pod.yaml", "Pod")["spec"]
    for part in ("driver", "executor"):
        yield application["spec"]["template"][part]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_the_schemas_of_old_and_new_kubernetes(folder, version):
    found = [name for name, content in manifests(folder) if content["kind"] != "Pod"]
    assert len(found) >= 9
    for _, content in manifests(folder):
        if content["kind"] == "Pod":  # a template: Spark adds the image
            content["metadata"]["name"] = "executor"
            content["spec"]["containers"][0]["image"] = "x"
        kubernetes_validate.validate(content, version, strict=True)


def test_a_misspelt_key_would_be_found(refresh):
    spoilt = yaml.safe_load(yaml.safe_dump(refresh).replace("concurrencyPolicy", "concurencyPolicy"))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(spoilt, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", ["refresh", "operator", "train"])
def test_kustomize_builds_it_and_the_result_fits_the_schemas(folder, name):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", str(folder / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    for one in built:
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "tokensieve"
        if one["kind"] != "ScheduledSparkApplication":
            kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
    if name == "refresh":
        (job,) = [one for one in built if one["kind"] == "CronJob"]
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        assert {"name": "IMAGE", "value": container["image"]} in container["env"]
        assert container["image"] == "registry.example.com/tokensieve-score:cuda"


def test_no_pod_is_root_may_become_root_or_writes_into_its_image(folder, refresh, application):
    found = list(pods(folder, refresh, application))
    assert len(found) == 5
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == RESTRICTED


def test_what_a_pod_mounts_it_has_and_what_it_has_it_mounts(folder, refresh, application):
    for pod in pods(folder, refresh, application):
        volumes = {one["name"] for one in pod["volumes"]}
        for container in pod["containers"]:
            assert {one["name"] for one in container["volumeMounts"]} == volumes


def test_secrets_are_named_and_never_written_down(folder):
    for _, content in manifests(folder):
        assert content["kind"] != "Secret"
    text = "\n".join(path.read_text() for path in folder.rglob("*.yaml"))
    assert "secretRef: {name: tokensieve-credentials, optional: true}" in text
    assert "AWS_" not in text


def test_the_job_fails_at_once_with_the_exit_codes_that_want_a_person(refresh):
    job = refresh["spec"]["jobTemplate"]["spec"]
    rule, ignored = job["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert set(rule["onExitCodes"]["values"]) == {
        ConfigError.exit_code,
        InputError.exit_code,
        QuarantineError.exit_code,
    }
    assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert rule["onExitCodes"]["containerName"] == job["template"]["spec"]["containers"][0]["name"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # a failure policy needs it
    assert refresh["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["activeDeadlineSeconds"] < 24 * 3600


def test_configurations_are_valid_and_lie_on_what_is_mounted(folder):
    corpus = load_config(str(folder / "base" / "corpus.yaml"))
    run = load_config(str(folder / "train" / "run.yaml"))
    for config in (corpus, run):
        assert config.spark.master is None
        assert config.source.path.startswith("/data/")
        assert config.tables.root.startswith("/data/")
    assert run.pretrain is not None
    assert run.pretrain.out is not None
    assert run.pretrain.out.startswith("/data/")
    assert run.tables.root == corpus.tables.root


def test_the_application_is_where_the_image_installs_it(repository, refresh, application):
    arguments = refresh["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    (script,) = [one for one in arguments if one.endswith(".py")]
    image = (repository / "docker" / "score.Dockerfile").read_text()
    (minor,) = {line.split("python:")[1].rsplit(".", 1)[0] for line in image.splitlines() if "ARG PYTHON_IMAGE" in line}
    assert script == f"/usr/local/lib/python{minor}/site-packages/tokensieve/jobs/refresh.py"
    assert application["spec"]["template"]["mainApplicationFile"] == f"local://{script}"
    assert (repository / "tokensieve" / "jobs" / "refresh.py").is_file()


def test_the_spark_version_that_the_operator_is_told_is_the_tested_one(repository, application):
    pins = dict(line.split("==") for line in (repository / "constraints.txt").read_text().splitlines() if "==" in line)
    assert application["spec"]["template"]["sparkVersion"] == pins["pyspark"]


def test_the_operators_model_knows_every_key_and_value(application):
    models = pytest.importorskip("kubeflow_spark_api.models", reason="the operator's models need tokensieve[dev]")
    read = models.SparkV1beta2ScheduledSparkApplication.from_dict(application).to_dict()
    assert list(lost(application, read)) == []


def test_a_key_that_the_operator_does_not_know_would_be_found(application):
    models = pytest.importorskip("kubeflow_spark_api.models", reason="the operator's models need tokensieve[dev]")
    spoilt = yaml.safe_load(yaml.safe_dump(application).replace("timeToLiveSeconds", "timeToLive"))
    read = models.SparkV1beta2ScheduledSparkApplication.from_dict(spoilt).to_dict()
    assert list(lost(spoilt, read)) == ["spec.template.timeToLive"]


def lost(said: Any, read: Any, place: str = "") -> Iterator[str]:
    """Places of `said` that `read` lacks or has otherwise."""
    if isinstance(said, dict):
        for key, value in said.items():
            inside = f"{place}.{key}" if place else key
            if not isinstance(read, dict) or key not in read:
                yield inside
            else:
                yield from lost(value, read[key], inside)
    elif isinstance(said, list):
        for at, (value, other) in enumerate(zip(said, read, strict=True)):
            yield from lost(value, other, f"{place}[{at}]")
    elif said != read:
        yield place


def test_the_operator_and_the_cronjob_ask_for_the_same_executors(folder, application):
    lines = (folder / "refresh" / "spark-defaults.conf").read_text().splitlines()
    defaults = dict(line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    template = application["spec"]["template"]
    shared = {key: value for key, value in template["sparkConf"].items() if key in defaults}
    assert shared == {key: defaults[key] for key in shared}
    assert len(shared) >= 6
    executor = {key: str(template["executor"][key]) for key in ("instances", "cores", "memory")}
    assert executor == {key: defaults[f"spark.executor.{key}"] for key in executor}
