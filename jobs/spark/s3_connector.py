"""What Spark needs to read and write an S3 store itself: Hadoop's connector, and where the store is.

The connector asks for the AWS SDK in one jar of 642 MB. Of its parts it uses about 30, together 10 MB: these are named
here for the Hadoop that pyspark ships; with any other Hadoop the one jar is fetched. gs:// and abfss:// are left to the
platforms that have them.
"""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse

from tokensieve.udfs.files.storage import StorageConfig

Place = tuple[str, StorageConfig]
"""A path or URI that Spark reads or writes, and how its store is reached."""

S3_SCHEMES = ("s3", "s3a")
SDK_VERSIONS = {"3.4.2": "2.29.52"}
"""Of the AWS SDK, by the version of Hadoop: property aws-java-sdk-v2.version in the POM of hadoop-project."""
SDK_PARTS = ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")
HADOOP_SHIPPED = (
    "org.apache.hadoop:hadoop-client-api",
    "org.apache.hadoop:hadoop-client-runtime",
    "org.apache.hadoop:hadoop-common",
)
# What the parts ask for and Spark ships, and what the connector needs with the one jar only.
OF_THE_WHOLE_SDK = (
    "software.amazon.awssdk:bundle",
    "software.amazon.s3.analyticsaccelerator:*",
    "org.wildfly.openssl:*",
    "io.netty:*",
    "org.apache.httpcomponents:*",
    "commons-codec:*",
    "org.slf4j:*",
)
PACKAGES, EXCLUDES = "spark.jars.packages", "spark.jars.excludes"
S3A = "org.apache.hadoop.fs.s3a.S3AFileSystem"


def s3_places(places: Iterable[Place]) -> list[Place]:
    """Those on S3."""
    return [(uri, storage) for uri, storage in places if urlparse(uri).scheme in S3_SCHEMES]


def store_settings(places: Iterable[Place]) -> dict[str, str]:
    """Spark settings by which its connector finds each place's bucket; credentials it finds by itself."""
    settings: dict[str, str] = {}
    for uri, storage in s3_places(places):
        bucket = f"spark.hadoop.fs.s3a.bucket.{urlparse(uri).netloc}"
        settings |= {f"{bucket}.attempts.maximum": str(storage.attempts)}
        if storage.endpoint is not None:
            settings |= {f"{bucket}.endpoint": storage.endpoint}
            settings |= {f"{bucket}.connection.ssl.enabled": str(storage.endpoint.startswith("https:")).lower()}
        if storage.region is not None:
            settings |= {f"{bucket}.endpoint.region": storage.region}
        if storage.path_style:
            settings |= {f"{bucket}.path.style.access": "true"}
    return settings


def connector_settings(places: Iterable[Place]) -> dict[str, str]:
    """`store_settings`; and where Spark has no s3:// of its own, as EMR's has, it means what s3a:// does."""
    places = list(places)
    plain = any(urlparse(uri).scheme == "s3" for uri, _ in places) and connector_packages(places)
    return store_settings(places) | ({"spark.hadoop.fs.s3.impl": S3A} if plain else {})


def with_connector(settings: dict[str, str], places: Iterable[Place]) -> dict[str, str]:
    """The settings of a new session, with the connector to be fetched by Maven where this machine's Spark lacks it."""
    packages = connector_packages(places)
    if not packages:
        return settings
    shipped = [name for name in settings.get(EXCLUDES, "").split(",") if name and name != "org.apache.hadoop:*"]
    left_out = [*shipped, *HADOOP_SHIPPED, *(OF_THE_WHOLE_SDK if len(packages) > 1 else ())]
    fetched = [name for name in settings.get(PACKAGES, "").split(",") if name]
    return settings | {PACKAGES: ",".join([*fetched, *packages]), EXCLUDES: ",".join(left_out)}


def connector_packages(places: Iterable[Place]) -> list[str]:
    """Maven coordinates of what this machine's Spark lacks: the connector and, where we know them, parts of the SDK.

    Nothing where no place is on S3, where the connector is there, as on EMR and Dataproc, and where Spark is elsewhere.
    """
    jars = spark_jars()
    if not s3_places(places) or list(jars.glob("hadoop-aws*.jar")):
        return []
    hadoop = next((jar.stem.rpartition("-")[2] for jar in jars.glob("hadoop-client-api-*.jar")), None)
    if hadoop is None:
        return []
    sdk = SDK_VERSIONS.get(hadoop)
    parts = [f"software.amazon.awssdk:{part}:{sdk}" for part in SDK_PARTS] if sdk else []
    return [f"org.apache.hadoop:hadoop-aws:{hadoop}", *parts]


def spark_jars() -> Path:
    """The folder of the jars of the Spark that would be started here, which need not exist."""
    home = os.environ.get("SPARK_HOME")
    found = find_spec("pyspark")
    return Path(home or (found and found.origin and Path(found.origin).parent) or "/nowhere") / "jars"
