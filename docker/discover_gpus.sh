#!/bin/sh
# Spark's discovery script for NVIDIA GPUs: prints their indices as the JSON that Spark reads. The pip package of Spark
# brings none. spark.{worker,executor}.resource.gpu.discoveryScript names it by a path that exists on every node.
indices=$(nvidia-smi --query-gpu=index --format=csv,noheader) || exit 1
echo "{\"name\": \"gpu\", \"addresses\": [$(echo "$indices" | sed 's/.*/"&"/' | paste -sd, -)]}"
