#!/usr/bin/env bash
# Lets YARN hand out GPUs on Amazon Linux 2023, which mounts cgroups v2 only (Amazon EMR's guide, "Using the Nvidia
# Spark-RAPIDS Accelerator"); configurations.json names this folder.
set -euo pipefail
sudo mkdir -p /spark-rapids-cgroup/devices
sudo mount -t cgroup -o devices cgroupv1-devices /spark-rapids-cgroup/devices
sudo chmod a+rwx -R /spark-rapids-cgroup
