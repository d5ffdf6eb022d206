"""What a session is told so that Spark itself reads and writes S3."""

import pytest

from tokensieve.jobs.spark.s3_connector import connector_packages, connector_settings, with_connector
from tokensieve.udfs.files.storage import PROVIDERS_OWN, StorageConfig

HOSTED = StorageConfig(endpoint="http://minio:9000", region="eu-central-1", path_style=True, attempts=7)


@pytest.fixture
def spark_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "hadoop-client-api-3.4.2.jar").touch()
    return tmp_path


def test_each_bucket_is_reached_its_own_way(spark_home):
    assert connector_settings([("s3a://tables/x", HOSTED), ("s3a://source", PROVIDERS_OWN), ("/disk", HOSTED)]) == {
        "spark.hadoop.fs.s3a.bucket.tables.endpoint": "http://minio:9000",
        "spark.hadoop.fs.s3a.bucket.tables.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.bucket.tables.endpoint.region": "eu-central-1",
        "spark.hadoop.fs.s3a.bucket.tables.path.style.access": "true",
        "spark.hadoop.fs.s3a.bucket.tables.attempts.maximum": "7",
        "spark.hadoop.fs.s3a.bucket.source.attempts.maximum": "5",
    }


def test_the_connector_comes_with_parts_of_the_sdk_and_not_with_all_of_it(spark_home):
    settings = {"spark.jars.packages": "io.delta:x:1", "spark.jars.excludes": "org.apache.hadoop:*,org.slf4j:*"}
    made = with_connector(settings, [("s3a://tables/x", HOSTED)])
    packages, left_out = made["spark.jars.packages"].split(","), made["spark.jars.excludes"].split(",")
    assert packages[:3] == ["io.delta:x:1", "org.apache.hadoop:hadoop-aws:3.4.2", "software.amazon.awssdk:s3:2.29.52"]
    assert "software.amazon.awssdk:bundle" in left_out
    assert "org.apache.hadoop:*" not in left_out, "the connector is one of them"


def test_an_unknown_hadoop_gets_the_sdk_that_its_connector_names(spark_home):
    (spark_home / "jars" / "hadoop-client-api-3.4.2.jar").rename(spark_home / "jars" / "hadoop-client-api-3.9.0.jar")
    made = with_connector({}, [("s3a://tables/x", HOSTED)])
    assert made["spark.jars.packages"] == "org.apache.hadoop:hadoop-aws:3.9.0"
    assert "software.amazon.awssdk:bundle" not in made["spark.jars.excludes"]


def test_a_spark_that_has_the_connector_and_places_on_disks_need_nothing(spark_home):
    assert with_connector({}, [("/disk", HOSTED), ("gs://bucket/x", PROVIDERS_OWN)]) == {}
    (spark_home / "jars" / "hadoop-aws-3.4.2.jar").touch()
    assert connector_packages([("s3a://tables/x", HOSTED)]) == []


def test_s3_means_s3a_where_spark_has_no_s3_of_its_own(spark_home):
    place = [("s3://tables/x", PROVIDERS_OWN)]
    assert connector_settings(place)["spark.hadoop.fs.s3.impl"] == "org.apache.hadoop.fs.s3a.S3AFileSystem"
    (spark_home / "jars" / "hadoop-aws-3.4.2-amzn-1.jar").touch()
    assert "spark.hadoop.fs.s3.impl" not in connector_settings(place)
