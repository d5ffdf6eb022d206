"""The submit scripts of EMR and Dataproc: what they would run, held against the services' own parsers and models."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

NFS = "10.0.0.2:/share"


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    """What a script looks at of the checkout, with a wheel in `dist`."""
    copy = tmp_path / "checkout"
    shutil.copytree(repository / "docker", copy / "docker")
    shutil.copy(repository / "constraints.txt", copy)
    (copy / "dist").mkdir()
    (copy / "dist" / "tokensieve-0.1.0-py3-none-any.whl").touch()
    return copy


def submit(checkout: Path, platform: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    script = checkout / "docker" / platform / "submit.sh"
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout), **variables}
    return subprocess.run([str(script), *words], capture_output=True, text=True, env=environment, timeout=60)


EMR = {"FOLDER": "s3://bucket/tokensieve", "SUBNET": "subnet-1", "NFS": NFS}
DATAPROC = {"FOLDER": "gs://bucket/tokensieve", "SUBNET": "projects/p/subnet", "NFS": NFS, "REGION": "europe-west4"}


@pytest.mark.parametrize(("platform", "variables"), [("emr", EMR), ("dataproc", DATAPROC)])
def test_what_is_missing_is_named_before_anything_is_done(checkout, platform, variables):
    corpus = str(checkout / "docker" / "databricks" / "corpus.yaml")
    for name in variables:
        done = submit(checkout, platform, corpus, **{key: value for key, value in variables.items() if key != name})
        assert done.returncode != 0
        assert f"set {name}" in done.stderr
    assert "there is no file" in submit(checkout, platform, "nowhere.yaml", **variables).stderr
    assert "unknown option --dryrun" in submit(checkout, platform, "--dryrun", corpus, **variables).stderr
    (checkout / "dist" / "tokensieve-0.1.0-py3-none-any.whl").unlink()
    assert "run make wheel" in submit(checkout, platform, corpus, **variables).stderr


def test_emr_creates_a_cluster_whose_only_step_is_the_refresh(checkout):
    corpus = str(checkout / "docker" / "databricks" / "corpus.yaml")
    done = submit(checkout, "emr", "--dry-run", corpus, WORKERS="3", **EMR)
    assert done.returncode == 0, done.stderr
    *copies, create = (shlex.split(line) for line in done.stdout.splitlines())
    assert {words[:3] == ["aws", "s3", "cp"] for words in copies} == {True}
    assert create[:3] == ["aws", "emr", "create-cluster"]
    assert "--auto-terminate" in create
    step = create[create.index("--steps") + 1]
    assert "ActionOnFailure=TERMINATE_CLUSTER" in step
    assert "spark.executor.instances=3,/opt/tokensieve/lib/python3.11/site-packages/tokensieve/jobs/refresh.py" in step
    placed = {words[-1] + (Path(words[-2]).name if words[-1].endswith("/") else "") for words in copies}
    assert {f"{EMR['FOLDER']}/scripts/{name}" for name in ("prepare_node.sh", "gpu_cgroups.sh")} <= placed
    assert f"{EMR['FOLDER']}/files/corpus.yaml" in placed
    configurations = Path(create[create.index("--configurations") + 1].removeprefix("file://"))
    assert {one["Classification"] for one in json.loads(configurations.read_text())} >= {"spark-defaults", "yarn-site"}


@pytest.mark.platform
def test_emrs_own_command_line_takes_it_and_a_server_that_speaks_emr_keeps_it(checkout, tmp_path):
    aws = shutil.which("aws")
    moto = pytest.importorskip("moto.server", reason="needs moto[server] of tokensieve[dev]")
    if aws is None:
        pytest.skip("the AWS CLI is not installed; pip install awscli into an environment of its own")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    try:
        ask = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables}
        subprocess.run([aws, "s3", "mb", "s3://bucket"], check=True, capture_output=True, env=ask)
        corpus = str(checkout / "docker" / "databricks" / "corpus.yaml")
        done = submit(checkout, "emr", corpus, **EMR, **variables)
        assert done.returncode == 0, done.stderr
        cluster = done.stdout.split("cluster ")[1].split(";")[0]
        words = [aws, "emr", "describe-cluster", "--cluster-id", cluster, "--output", "json"]
        found = json.loads(subprocess.run(words, check=True, capture_output=True, env=ask).stdout)["Cluster"]
        words[2] = "list-steps"
        (step,) = json.loads(subprocess.run(words, check=True, capture_output=True, env=ask).stdout)["Steps"]
    finally:
        server.stop()
    assert found["ReleaseLabel"] == "emr-spark-8.1.0"
    assert found["AutoTerminate"] is True
    assert found["LogUri"] == "s3://bucket/tokensieve/logs/"
    assert step["Config"]["Args"][0] == "spark-submit"
    assert step["Config"]["Args"][-3:] == ["--config", "/opt/tokensieve/corpus.yaml", "--json"]
    (spark,) = [one for one in found["Configurations"] if one["Classification"] == "spark-defaults"]
    assert spark["Properties"]["spark.executor.resource.gpu.amount"] == "1"


def test_dataproc_takes_the_template_that_is_filled_in(checkout):
    dataproc = pytest.importorskip("google.cloud.dataproc_v1", reason="checks of the template need tokensieve[dev]")
    from google.protobuf import json_format

    corpus = str(checkout / "docker" / "databricks" / "corpus.yaml")
    done = submit(checkout, "dataproc", "--dry-run", corpus, WORKERS="3", ACCELERATOR="nvidia-tesla-t4", **DATAPROC)
    assert done.returncode == 0, done.stderr
    commands, template = done.stdout[: done.stdout.index("placement:")], done.stdout[done.stdout.index("placement:") :]
    assert "workflow-templates instantiate-from-file --region europe-west4" in commands
    made = json_format.ParseDict(yaml.safe_load(template), dataproc.WorkflowTemplate.pb(dataproc.WorkflowTemplate()))
    workers = made.placement.managed_cluster.config.worker_config
    assert (workers.num_instances, workers.accelerators[0].accelerator_type_uri) == (3, "nvidia-tesla-t4")
    (job,) = made.jobs
    assert list(job.pyspark_job.args) == ["--config", "/opt/tokensieve/corpus.yaml", "--json"]
    actions = [one.executable_file for one in made.placement.managed_cluster.config.initialization_actions]
    assert actions[0].startswith("gs://goog-dataproc-initialization-actions-europe-west4/")
    assert actions[1] == "gs://bucket/tokensieve/scripts/initialize.sh"


def test_a_key_that_dataproc_does_not_know_would_be_found(checkout):
    dataproc = pytest.importorskip("google.cloud.dataproc_v1", reason="checks of the template need tokensieve[dev]")
    from google.protobuf import json_format

    with pytest.raises(json_format.ParseError, match="nonsense"):
        json_format.ParseDict({"nonsense": 1}, dataproc.WorkflowTemplate.pb(dataproc.WorkflowTemplate()))
