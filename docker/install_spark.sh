#!/usr/bin/env bash
# Makes $SPARK_HOME of the installed pyspark wheel, with the Delta connector and further connectors among its jars.
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

from jobs.session import SHIPPED_WITH_SPARK, SparkConfig, delta_package, open_session

ivy, packages = sys.argv[1:]
# Of Hadoop only what Spark ships is left out: its connectors to object stores have the same group.
shipped = SHIPPED_WITH_SPARK.replace(
    "org.apache.hadoop:*", "org.apache.hadoop:hadoop-client-api,org.apache.hadoop:hadoop-client-runtime"
)
settings = {
    "spark.jars.ivy": ivy,
    "spark.jars.packages": ",".join(filter(None, [delta_package(), packages])),
    "spark.jars.excludes": shipped,
}
open_session(SparkConfig(master="local[1]", conf=settings), delta=True).stop()
PYTHON
cp "$ivy"/jars/*.jar "$wheel/jars/"
