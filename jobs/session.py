"""The Spark session: taken from the platform where there is one, made with what Delta needs where there is none.

No master is set in code: `spark.master` in the configuration is for laptops and tests, spark-submit says its own.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from jobs.errors import InputError
from udfs.installed import code_archive

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DELTA_SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
# What the Delta connector asks for and Spark already ships; without it a first start fetches 87 MB more.
SHIPPED_WITH_SPARK = (
    "org.apache.hadoop:*,org.apache.logging.log4j:*,org.apache.parquet:*,com.fasterxml.jackson.core:*,"
    "com.fasterxml.jackson.datatype:*,com.github.luben:*,org.slf4j:*,org.xerial.snappy:*,commons-logging:*,"
    "commons-pool:*,javax.annotation:*,com.google.code.findbugs:*,io.airlift:*,org.roaringbitmap:*"
)


class SparkConfig(BaseModel):
    """Section `spark`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    master: str | None = None
    """local[2] on a laptop, spark://host:7077; None leaves it to spark-submit or the platform."""
    app_name: str = "tokensieve"
    delta_jars: str | None = None
    """A folder with the Delta connector's jars, for sites without Maven access; None fetches them by Maven."""
    shuffle_partitions: int | None = None
    """None: 4 with a local master, else Spark's own default."""
    conf: dict[str, str] = {}
    """Further Spark settings; they win over ours."""


def open_session(config: SparkConfig, delta: bool) -> "SparkSession":
    """The running session, or a new one. `delta`: the Delta connector is needed.

    Raises InputError when pyspark is missing or the folder of Delta jars is empty.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise InputError(
            "pyspark is not installed here; pip install 'tokensieve[spark]', or use spark-submit"
        ) from error

    running = SparkSession.getActiveSession()
    if running is not None:
        return running
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if _is_local(config):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.appName(config.app_name)
    if config.master:
        builder = builder.master(config.master)
    for key, value in (_settings(config) | (_delta_settings(config) if delta else {}) | config.conf).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    classic = hasattr(session, "_jsparkSession")
    if classic:  # over Spark Connect the server logs as its owner wants
        session.sparkContext.setLogLevel("ERROR")
    _ship_code(session, classic)
    return session


def _ship_code(session: "SparkSession", classic: bool) -> None:
    """Puts a wheel given by --py-files on the executors' path: Spark itself does that for .zip, not for .whl."""
    archive = code_archive()
    if archive is None or not archive.endswith(".whl"):
        return
    copy = Path(tempfile.mkdtemp(prefix="tokensieve-")) / f"{Path(archive).stem}.zip"
    shutil.copyfile(archive, copy)
    if classic:
        session.sparkContext.addPyFile(str(copy))
    else:
        session.addArtifacts(str(copy), pyfile=True)


def _is_local(config: SparkConfig) -> bool:
    return (config.master or "").startswith("local")


def _settings(config: SparkConfig) -> dict[str, str]:
    settings = {
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1024",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.python.worker.faulthandler.enabled": "true",
        # Task slots are the parallelism; threads below them only fight over the same cores.
        "spark.executorEnv.OMP_NUM_THREADS": "1",
        "spark.executorEnv.TOKENIZERS_PARALLELISM": "false",
    }
    if _is_local(config):
        settings |= {
            "spark.driver.memory": "4g",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",  # jobs/progress.py shows it
            "spark.driver.host": "127.0.0.1",
            "spark.databricks.delta.snapshotPartitions": "2",
        }
    partitions = config.shuffle_partitions or (4 if _is_local(config) else None)
    return settings | ({"spark.sql.shuffle.partitions": str(partitions)} if partitions else {})


def _delta_settings(config: SparkConfig) -> dict[str, str]:
    """What makes a plain Spark speak Delta; nothing on a platform that has it built in."""
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return {}
    if config.delta_jars:
        jars = sorted(str(jar) for jar in Path(config.delta_jars).glob("*.jar"))
        if not jars:
            raise InputError(f"spark.delta_jars: no jar in {config.delta_jars}")
        return DELTA_SETTINGS | {"spark.jars": ",".join(jars)}
    return DELTA_SETTINGS | {"spark.jars.packages": delta_package(), "spark.jars.excludes": SHIPPED_WITH_SPARK}


def delta_package() -> str:
    """The Maven coordinate of the Delta connector for the pyspark and delta-spark installed here.

    Raises InputError when delta-spark is missing.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        delta, spark = version("delta-spark"), version("pyspark")
    except PackageNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install 'tokensieve[spark]'") from error
    return f"io.delta:delta-spark_{'.'.join(spark.split('.')[:2])}_2.13:{delta}"
