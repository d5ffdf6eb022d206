"""A session of a Spark Connect server, which runs already, with settings and connectors of its own.

Our code is shipped to it. What lies in files must be where client and server find it under the same path: the source,
the tables, and the bundles that are not presets.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tokensieve.jobs.errors import InputError, ServerError
from tokensieve.jobs.spark.ship_code import ship_code

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ANSWERS_S = 60


def connected(remote: str, settings: Mapping[str, str]) -> "SparkSession":
    """A new session. `remote`: sc://host:port;key=value; of `settings` only those of a session, spark.sql.*, reach it.

    Raises InputError when the client's packages are missing, ServerError when no server answers.
    """
    from pyspark.sql import SparkSession

    _wait_for_server(remote)
    builder = SparkSession.builder.remote(remote)
    for key, value in settings.items():
        if key.startswith("spark.sql."):
            builder = builder.config(key, value)
    session = builder.getOrCreate()
    ship_code(session)
    return session


def _wait_for_server(remote: str) -> None:
    """Raises after a minute; Spark's own client would try for ten, without a word."""
    try:
        from grpc import FutureTimeoutError, channel_ready_future
        from pyspark.sql.connect.client import DefaultChannelBuilder
    except ImportError as error:
        raise InputError(f"Spark Connect: {error}; pip install 'tokensieve[connect]'") from error

    if not remote.startswith("sc://"):  # local[2]: Spark starts a server of its own
        return
    channel = DefaultChannelBuilder(remote).toChannel()
    try:
        channel_ready_future(channel).result(timeout=ANSWERS_S)
    except FutureTimeoutError:
        raise ServerError(
            f"no Spark Connect server answers at {remote.partition(';')[0]} within {ANSWERS_S} s; start it, or correct "
            "spark.remote or SPARK_REMOTE"
        ) from None
    finally:
        channel.close()
