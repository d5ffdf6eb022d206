"""The Spark of the image, made of the pyspark wheel as its build does it, but beside this environment."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pyspark
import pytest

pytestmark = pytest.mark.platform
SESSION = """
from tokensieve.jobs.spark.session import SparkConfig, open_session
spark = open_session(SparkConfig(master="local[1]", conf={"spark.jars.ivy": "/proc/nowhere"}), delta=True)
spark.range(3).write.format("delta").save("table")
print(spark.read.format("delta").load("table").count(), spark._jvm.java.lang.Class.forName(
    "org.apache.hadoop.fs.s3a.S3AFileSystem").getSimpleName())
"""


def linked(source: str, target: str) -> None:
    """A copy that costs no space where the file system allows it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def image(tmp_path_factory, repository) -> dict[str, str]:
    """The environment of a container: a Python with a pyspark of its own, SPARK_HOME made by the build's script."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "python")], check=True)
    (site,) = folder.glob("python/lib/python3*/site-packages")
    shutil.copytree(Path(pyspark.__file__).parent, site / "pyspark", copy_function=linked)
    (site / "ours.pth").write_text(f"{repository}\n{sysconfig.get_path('purelib')}\n")
    environment = os.environ | {
        "PATH": f"{folder / 'python' / 'bin'}:{os.environ['PATH']}",
        "SPARK_HOME": str(folder / "spark"),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    script = repository / "docker" / "install_spark.sh"
    done = subprocess.run([str(script)], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return environment


@pytest.mark.timeout(600)
def test_spark_has_its_connectors_and_a_place_for_its_settings(image):
    home = Path(image["SPARK_HOME"])
    names = {jar.name for jar in (home / "jars").iterdir()}
    assert {"delta-spark_4.1_2.13-4.4.0.jar", "delta-storage-4.4.0.jar", "hadoop-aws-3.4.2.jar"} <= names
    assert (home / "conf").is_dir()
    assert not (home / "conf").is_symlink()
    assert not any(name.startswith("bundle-") for name in names)  # the whole AWS SDK, 642 MB


def test_a_session_fetches_nothing_writes_delta_and_knows_s3(image, tmp_path):
    done = subprocess.run(
        ["python3", "-c", SESSION], env=image, cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "3 S3AFileSystem"
