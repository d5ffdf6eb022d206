"""The Databricks bundle against the models of Databricks' own package; our entry point as that platform calls it."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokensieve.jobs.config.corpus import load_config


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    return repository / "docker" / "databricks"


@pytest.fixture(scope="module")
def bundle(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "databricks.yml").read_text())


@pytest.fixture(scope="module")
def resources(folder: Path) -> dict[str, Any]:
    found = [yaml.safe_load(path.read_text())["resources"] for path in sorted((folder / "resources").glob("*.yml"))]
    return {kind: content for one in found for kind, content in one.items()}


@pytest.fixture(scope="module")
def refresh(resources) -> dict[str, Any]:
    return resources["jobs"]["refresh"]


def test_databricks_own_models_take_the_job_and_the_volume(refresh, resources):
    jobs = pytest.importorskip("databricks.bundles.jobs", reason="checks of the bundle need tokensieve[dev]")
    volumes = pytest.importorskip("databricks.bundles.volumes")
    assert [task.task_key for task in jobs.Job.from_dict(refresh).tasks] == ["refresh", "verify"]
    assert volumes.Volume.from_dict(resources["volumes"]["corpus"]).name == "corpus"
    with pytest.raises(ValueError, match="Unexpected field"):
        jobs.Job.from_dict({**refresh, "max_concurent_runs": 1})


def test_the_whole_bundle_fits_the_schema_that_the_cli_prints(folder, bundle, resources):
    schema = os.environ.get("DATABRICKS_BUNDLE_SCHEMA")
    if not schema:
        pytest.skip("DATABRICKS_BUNDLE_SCHEMA names no file; `databricks bundle schema > FILE` makes it")
    import jsonschema

    # Python's expressions have no classes of Unicode; our names have ASCII letters only.
    text = Path(schema).read_text().replace(r"[\\p{L}\\p{N}]", "[a-zA-Z0-9]").replace(r"\\p{L}", "[a-zA-Z]")
    jsonschema.Draft202012Validator(json.loads(text)).validate({**bundle, "resources": resources})


def test_every_variable_that_is_used_is_declared_and_the_other_way_round(folder, bundle):
    text = "\n".join(path.read_text() for path in folder.rglob("*.yml"))
    assert set(re.findall(r"\$\{var\.(\w+)\}", text)) == set(bundle["variables"])


def test_tasks_share_the_gpu_cluster_run_one_after_the_other_and_never_twice_at_once(refresh):
    (cluster,) = refresh["job_clusters"]
    assert {task["job_cluster_key"] for task in refresh["tasks"]} == {cluster["job_cluster_key"]}
    assert cluster["new_cluster"]["instance_pool_id"] == "${var.gpu_pool}"
    assert refresh["tasks"][1]["depends_on"] == [{"task_key": "refresh"}]
    assert refresh["max_concurrent_runs"] == 1


def test_nothing_is_installed_that_the_runtime_brings(refresh, repository):
    for task in refresh["tasks"]:
        assert task["libraries"] == [{"whl": "../../../dist/*.whl"}]  # no extra: spark, delta, pandas, torch are there
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[\[>=<~! ]", one)[0] for one in project["dependencies"]}
    assert needed.isdisjoint({"pyspark", "delta-spark", "pandas", "torch"})


def test_the_entry_point_is_in_the_wheels_metadata(refresh, repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    for task in refresh["tasks"]:
        assert task["python_wheel_task"]["package_name"] == project["name"]
        module, function = project["entry-points"]["databricks"][task["python_wheel_task"]["entry_point"]].split(":")
        assert callable(getattr(import_module(module), function))


def test_the_arguments_of_every_task_are_a_command_that_our_command_line_takes(refresh, folder, bundle):
    defaults = {name: str(one.get("default", "x")) for name, one in bundle["variables"].items()}
    for task in refresh["tasks"]:
        words = [resolved(word, folder, defaults) for word in task["python_wheel_task"]["parameters"]]
        verb, overrides = words[0], [word for word in words if "=" in word]
        config = load_config(words[words.index("--config") + 1], overrides)
        assert config.tables.root == "/Volumes/main/tokensieve/corpus/tables"
        assert config.tables.format == "delta"
        assert config.spark.master is None
        assert run_task([*words, "--show-config"]).returncode == 0, verb


def resolved(word: str, folder: Path, variables: dict[str, str]) -> str:
    word = re.sub(r"\$\{var\.(\w+)\}", lambda found: variables[found[1]], word)
    word = word.replace("${resources.volumes.corpus.name}", "corpus")
    return word.replace("${workspace.file_path}", str(folder.parent.parent))


def run_task(words: list[str]) -> subprocess.CompletedProcess[str]:
    """The entry point as Databricks calls it, with sys.argv; any SystemExit is a failure."""
    script = (
        "import sys\nfrom tokensieve.jobs.cli import task\n"
        f"sys.argv = ['tokensieve', *{words!r}]\n"
        "try:\n    task()\nexcept SystemExit as end:\n    print('SystemExit', end.code); sys.exit(90)\n"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)


def test_a_task_that_is_done_raises_nothing_and_one_that_fails_raises_its_exit_code(tmp_path):
    done = run_task(["doctor", "--config", "demo", f"tables.root={tmp_path}", "spark.delta_jars=null"])
    assert done.returncode == 0, done.stdout + done.stderr
    failed = run_task(["verify", "--config", "demo", f"tables.root={tmp_path / 'none'}"])
    assert (failed.returncode, failed.stdout.splitlines()[-1]) == (90, "SystemExit 2")
