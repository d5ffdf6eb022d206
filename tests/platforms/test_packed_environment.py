"""spark-submit --archives: executors that have nothing but Python and Spark run in an environment packed for them.

Packed without torch, which is gigabytes: scores are made here, masks and shards there.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.platforms.refresh_runs import add_shard, equal_to_a_local_run, write_project
from tests.platforms.standalone import SPARK_SUBMIT, standalone

PACKAGES = ("pandas", "venv-pack==0.2.0")
pytestmark = pytest.mark.platform


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest, repository: Path, wheel: Path) -> Path:
    """A virtual environment of the wheel with its dependencies, and beside it `env.tar.gz`; kept in pytest's cache."""
    constraints = repository / "constraints.txt"
    made_of = hashlib.sha256(constraints.read_bytes() + (repository / "pyproject.toml").read_bytes()).hexdigest()[:8]
    folder = request.config.cache.mkdir(f"packed-{made_of}")
    venv, packed = folder / "venv", folder / "env.tar.gz"
    if not packed.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True, timeout=100)
        pip = [str(venv / "bin" / "pip"), "--quiet"]
        wanted = ["--constraint", str(constraints), str(wheel), *PACKAGES]
        subprocess.run([*pip, "install", *wanted], check=True, timeout=600)
        # The code itself comes by --py-files, so that what is kept does not go stale.
        subprocess.run([*pip, "uninstall", "--yes", "tokensieve"], check=True, timeout=60)
        pack = [str(venv / "bin" / "venv-pack"), "--quiet", "--compress-level", "1", "-p", str(venv)]
        subprocess.run([*pack, "-o", str(folder / "part.tar.gz")], check=True, timeout=300)
        (folder / "part.tar.gz").rename(packed)
    return venv


@pytest.mark.timeout(1800)
def test_masks_and_shards_of_executors_with_a_packed_environment(
    environment, wheel, clean_environment, repository, tmp_path, tmp_path_factory, spark
):
    write_project(tmp_path)
    add_shard(tmp_path, repository, 0)
    scoring = [sys.executable, "-m", "tokensieve.jobs.cli", "score", "--config", "corpus.yaml", "spark.master=local[2]"]
    ours = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    subprocess.run(scoring, check=True, cwd=tmp_path, env=ours, timeout=280)
    bare = {key: value for key, value in clean_environment.items() if not key.startswith("PYSPARK")}
    with standalone(tmp_path_factory.mktemp("bare"), clean_environment) as cluster:
        for verb in ("mask", "export"):
            command = [
                str(SPARK_SUBMIT), "--master", cluster.address, "--conf", "spark.executor.memory=700m",
                "--archives", f"{environment.parent / 'env.tar.gz'}#environment",
                "--conf", "spark.pyspark.python=./environment/bin/python",
                "--conf", f"spark.pyspark.driver.python={environment / 'bin' / 'python'}",
                "--py-files", str(wheel), str(repository / "jobs" / f"{verb}.py"),
                "--config", "corpus.yaml", "spark.shuffle_partitions=2",
            ]  # fmt: skip
            done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=280)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert equal_to_a_local_run(tmp_path, "parquet", spark)["in"] == 12
