#!/usr/bin/env bash
# Makes $SPARK_HOME of the installed pyspark wheel, with the connectors to Delta and S3, and further ones, among its jars.
#   install_spark.sh [MAVEN_COORDINATES, separated by commas]
# The jars come by Maven while the image is built; a session that is started from it fetches nothing.
set -euo pipefail

packages=${1:-}
home=${SPARK_HOME:?is the folder to make}
wheel=$(python3 -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
mkdir -p "$home/conf" "$home/work-dir"
for part in bin sbin jars python data; do
    ln -sfn "$wheel/$part" "$home/$part"
done

ivy=$(mktemp -d)
trap 'rm -rf "$ivy"' EXIT
python3 - "$ivy" "$packages" <<'PYTHON'
import sys

from tokensieve.jobs.spark.session import SHIPPED_WITH_SPARK, SparkConfig, delta_package, open_session
from tokensieve.jobs.spark.s3_connector import with_connector
from tokensieve.udfs.files.storage import StorageConfig

ivy, packages = sys.argv[1:]
delta = {"spark.jars.packages": delta_package(), "spark.jars.excludes": SHIPPED_WITH_SPARK}
settings = with_connector(delta, [("s3a://any", StorageConfig())])
settings["spark.jars.packages"] += f",{packages}" if packages else ""
open_session(SparkConfig(master="local[1]", conf={**settings, "spark.jars.ivy": ivy}), delta=True).stop()
PYTHON
# Ivy puts the group before the name, and connectors are looked for by their name.
for jar in "$ivy"/jars/*.jar; do
    name=$(basename "$jar")
    cp --no-clobber "$jar" "$wheel/jars/${name#*_}"
done
