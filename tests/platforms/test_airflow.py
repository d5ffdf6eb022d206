"""The DAG in a real Airflow, in an environment of its own: parsed, and run refresh by refresh on the demo's text."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.platforms.refresh_runs import add_shard, write_project

AIRFLOW = "3.3.2"
TRAINING = (
    "pretrain.device=cpu", "pretrain.seq_length=64", "pretrain.micro_batch_size=2", "pretrain.global_batch_size=2",
    "pretrain.steps=2", "pretrain.model.layers=1", "pretrain.model.hidden_size=32", "pretrain.model.heads=2",
)  # fmt: skip
pytestmark = pytest.mark.platform


@pytest.fixture(scope="session")
def airflow(request: pytest.FixtureRequest, repository: Path) -> Path:
    """The interpreter of an environment with Airflow, kept in pytest's cache from run to run."""
    constraints = repository / "docker" / "airflow" / "constraints.txt"
    version = f"{AIRFLOW}-{hashlib.sha256(constraints.read_bytes()).hexdigest()[:8]}"
    folder = request.config.cache.mkdir(f"airflow-{version}")
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, timeout=100)
        install = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(constraints)]
        subprocess.run([*install, f"apache-airflow=={AIRFLOW}"], check=True, timeout=600)
        done.touch()
    return python


@pytest.fixture(scope="session")
def database(airflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow's database before its first run."""
    home = tmp_path_factory.mktemp("airflow")
    command = [str(airflow.parent / "airflow"), "db", "migrate"]
    subprocess.run(command, check=True, timeout=200, capture_output=True, env=airflow_environment(home))
    return home / "airflow.db"


def airflow_environment(home: Path) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    return ours | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


class Refreshes:
    """Runs the DAG on a project, one run after the other."""

    def __init__(self, airflow: Path, database: Path, project: Path, repository: Path) -> None:
        self.project = project
        self._python = airflow
        self._repository = repository
        (project / "airflow" / "dags").mkdir(parents=True)
        shutil.copy(repository / "docker" / "airflow" / "tokensieve_refresh.py", project / "airflow" / "dags")
        shutil.copy(database, project / "airflow")

    def run(self, *overrides: str, params: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        """One run: `overrides` and `settings` go into the Variable `tokensieve`."""
        command = shlex.join([sys.executable, "-m", "tokensieve.jobs.cli"])
        variable = {
            "config": "corpus.yaml",
            "root": str(self.project / "tables"),
            "runs": str(self.project / "runs"),
            "command": command,
            "spark_command": f"{command} {{verb}}",
            "overrides": ["spark.master=local[2]", *TRAINING, *overrides],
            "folder": str(self.project),
            "environment": {"PYTHONPATH": str(self._repository), "OMP_NUM_THREADS": "1"},
        } | settings
        environment = airflow_environment(self.project / "airflow") | {"AIRFLOW_VAR_TOKENSIEVE": json.dumps(variable)}
        script = self._repository / "tests" / "platforms" / "airflow_run.py"
        command = [str(self._python), str(script), json.dumps(params or {})]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout[-3000:]
        self.log = done.stdout
        return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture
def refreshes(airflow, database, tmp_path, repository) -> Refreshes:
    write_project(tmp_path)
    return Refreshes(airflow, database, tmp_path, repository)


def states(run: dict[str, Any]) -> list[str]:
    """How the tasks ended, in their order."""
    return [run["tasks"][name][0] for name in ("refresh", "gate", "export", "launch")]


@pytest.mark.timeout(1800)
def test_runs_of_a_corpus(runs, repository, tmp_path):
    add_shard(tmp_path, repository, 0)
    first = runs.run()
    assert first["import_errors"] == {}
    assert states(first) == ["success"] * 4, runs.log[-5000:]
    trained = json.loads((tmp_path / "runs" / "release-00000001" / "train.json").read_text())
    assert trained["steps"] == 2

    second = runs.run()
    assert (second["state"], states(second)) == ("success", ["success", "skipped", "skipped", "skipped"])

    add_shard(tmp_path, repository, 1, without_text=3)
    third = runs.run()
    assert states(third) == ["failed", "upstream_failed", "upstream_failed", "upstream_failed"]
    assert third["tasks"]["refresh"][1] == 1, "what a person must look at is not tried again"
    assert "more was quarantined than score.quarantine_tolerance allows" in runs.log

    tolerant = runs.run("score.quarantine_tolerance=0.5")
    assert states(tolerant) == ["success", "failed", "upstream_failed", "upstream_failed"]
    assert "12.50% of the documents are quarantined, more than 2.00%" in runs.log

    accepted = runs.run("score.quarantine_tolerance=0.5", params={"accept": True})
    assert states(accepted) == ["success"] * 4, runs.log[-5000:]
    assert (tmp_path / "runs" / "release-00000002" / "train.json").exists()


@pytest.mark.parametrize(("code", "tries"), [(1, 3), (2, 1), (3, 1)])
def test_only_what_may_pass_by_itself_is_tried_again(runs, code, tries):
    failing = shlex.join([sys.executable, "-c", f"raise SystemExit({code})"])
    run = runs.run(spark_command=failing)
    assert run["tasks"]["refresh"] == ["failed", tries]
    assert states(run)[1:] == ["upstream_failed"] * 3


def test_without_a_folder_for_runs_nothing_is_trained_and_shards_are_copied(runs, tmp_path):
    (tmp_path / "tables").mkdir()
    told = {
        "state": "done",
        "release": 4,
        "documents": {"in": 9, "quarantine": 0},
        "report": {"drift": {}, "before": None, "totals": {"text_bytes": 0, "forget_bytes": {}}},
    }
    (tmp_path / "tables" / "refresh.json").write_text(json.dumps(told))
    run = runs.run(spark_command="echo {verb}", runs=None, export_to="file:///somewhere")
    assert states(run) == ["success", "success", "success", "skipped"]
    assert "export.to=file:///somewhere" in runs.log


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ({"drift": {"medicine": {"verdict": "alarm"}}}, "the scores of medicine have drifted"),
        (
            {"before": {"text_bytes": 100, "forget_bytes": {"medicine": 1}}},
            "the forget share of medicine went from 1.00% to 10.00%",
        ),
    ],
)
def test_the_gate_stops_a_run_that_differs(runs, tmp_path, report, told):
    (tmp_path / "tables").mkdir()
    totals = {"text_bytes": 100, "forget_bytes": {"medicine": 10}}
    told = {
        "state": "done",
        "release": 2,
        "documents": {"in": 9, "quarantine": 0},
        "report": {"drift": {}, "before": None, "totals": totals} | report,
    }
    (tmp_path / "tables" / "refresh.json").write_text(json.dumps(told))
    run = runs.run(spark_command="echo {verb}")
    assert states(run) == ["success", "failed", "upstream_failed", "upstream_failed"]
    assert told in runs.log
