"""What platform tests share: the built wheel, and an interpreter that sees our dependencies but not the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="module")
def spark_as_users_have_it() -> Iterator[None]:
    """Platforms are tested without the settings for small tables."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("SPARK_CONF_DIR", raising=False)
        yield


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The wheel, built from a copy so that the checkout stays clean."""
    copy = tmp_path_factory.mktemp("build") / "tokensieve"
    skip = shutil.ignore_patterns(".*", "out", "build", "dist", "tests", "*.egg-info", "__pycache__")
    shutil.copytree(repository, copy, ignore=skip, symlinks=True)  # tokensieve/ holds links to the rooms
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    (built,) = (copy / "dist").glob("tokensieve-*.whl")
    return built


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that sees our dependencies, but not the checkout."""
    folder = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=100)
    (site,) = folder.glob("lib/python3*/site-packages")
    # A path added by a .pth file is searched, but .pth files in it are not read: the editable install stays unseen.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def clean_environment(bare_python: Path) -> dict[str, str]:
    """An environment in which Spark's workers, and drivers started by spark-submit, run `bare_python`."""
    ours = os.environ | {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(bare_python),
        "PYSPARK_DRIVER_PYTHON": str(bare_python),
    }
    return {key: value for key, value in ours.items() if key not in ("PYTHONPATH", "SPARK_CONF_DIR", "SPARK_REMOTE")}
