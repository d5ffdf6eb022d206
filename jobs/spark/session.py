"""The Spark session: taken from the platform where there is one, made with what Delta needs where there is none.

No master is set in code: `spark.master` in the configuration is for laptops and tests, spark-submit says its own.
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, field_validator

from tokensieve.jobs.errors import ConfigError, InputError
from tokensieve.jobs.spark.connect import connected
from tokensieve.jobs.spark.s3_connector import Place, connector_settings, spark_jars, with_connector
from tokensieve.jobs.spark.ship_code import ship_code
from tokensieve.udfs.files.storage import credentials_error

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


# Keys of stores, and of what is put into the environment of Spark's processes.
SECRET = re.compile(
    r"(?i)^(spark\.hadoop\.)?fs\..*(secret|password|session\.token|access\.key|account\.key|sas\.|private\.key)"
    r"|env\..*(secret|password|session_token|access_key|account_key|sas_token)"
)


class SparkConfig(BaseModel):
    """Section `spark`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    master: str | None = None
    """local[2] on a laptop, spark://host:7077; None leaves it to spark-submit or the platform."""
    remote: str | None = None
    """sc://host:15002, a Spark Connect server instead of a master; None: the variable SPARK_REMOTE, if that is set.
    An address with a token in it belongs into that variable."""
    app_name: str = "tokensieve"
    delta_jars: str | None = None
    """A folder with the jars of the Delta connector, and of the S3 connector where that is needed, for sites without
    Maven access; None fetches them by Maven."""
    shuffle_partitions: int | None = None
    """None: 4 with a local master, else Spark's own default."""
    conf: dict[str, str] = {}
    """Further Spark settings; they win over ours."""

    @field_validator("conf")
    @classmethod
    def _without_secrets(cls, conf: dict[str, str]) -> dict[str, str]:
        for key in conf:
            if SECRET.search(key):
                raise credentials_error(key)
        return conf


def open_session(config: SparkConfig, delta: bool, places: Sequence[Place] = ()) -> "SparkSession":
    """The running session, or a new one. `delta`: the Delta connector is needed; `places`: where Spark itself reads and
    writes, which may be on S3.

    Raises ConfigError when both a master and a Spark Connect server are named, InputError when pyspark is missing or
    the folder of Delta jars is empty, ServerError when a Spark Connect server does not answer.
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
    remote = _remote(config)
    if remote:
        return connected(remote, _settings(config) | config.conf)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if _is_local(config):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.appName(config.app_name)
    if config.master:
        builder = builder.master(config.master)
    for key, value in (_settings(config) | _connectors(config, delta, places) | config.conf).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    if hasattr(session, "_jsparkSession"):  # over Spark Connect the server logs as its owner wants
        session.sparkContext.setLogLevel("ERROR")
    ship_code(session)
    return session


def _remote(config: SparkConfig) -> str | None:
    """The address of the Spark Connect server, which may hold a token: no message repeats it."""
    if config.remote and "token=" in config.remote:
        raise ConfigError("spark.remote holds a token, and configurations are read by others; set SPARK_REMOTE instead")
    remote = config.remote or os.environ.get("SPARK_REMOTE")
    if remote and config.master:
        raise ConfigError(
            f"spark.master={config.master}, but spark.remote or SPARK_REMOTE names a Spark Connect server; set one of "
            "them to null, or unset the variable"
        )
    return remote


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
            "spark.ui.showConsoleProgress": "false",  # jobs/spark/progress.py shows it
            "spark.driver.host": "127.0.0.1",
            "spark.databricks.delta.snapshotPartitions": "2",
        }
    partitions = config.shuffle_partitions or (4 if _is_local(config) else None)
    return settings | ({"spark.sql.shuffle.partitions": str(partitions)} if partitions else {})


def _connectors(config: SparkConfig, delta: bool, places: Sequence[Place]) -> dict[str, str]:
    """What makes a plain Spark speak Delta and S3, where it does not."""
    settings = _delta_settings(config) if delta else {}
    if "spark.jars" not in settings and "spark.jars.packages" not in config.conf:
        settings = with_connector(settings, places)
    return settings | connector_settings(places)


def _delta_settings(config: SparkConfig) -> dict[str, str]:
    """What makes a plain Spark speak Delta; less where its jars are Spark's own, as in our image."""
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return {}
    if config.delta_jars:
        jars = sorted(str(jar) for jar in Path(config.delta_jars).glob("*.jar"))
        if not jars:
            raise InputError(f"spark.delta_jars: no jar in {config.delta_jars}")
        return DELTA_SETTINGS | {"spark.jars": ",".join(jars)}
    if any(spark_jars().glob("*delta-spark_*.jar")):
        return DELTA_SETTINGS
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
