#!/usr/bin/env bash
# Prepares a node of a YARN cluster (EMR's bootstrap action, Dataproc's initialization action), before Spark starts there:
# the shared folder that tables and shards lie in, and an environment with the wheel. Spark itself is the platform's.
#   prepare_node.sh FOLDER NFS_EXPORT
# FOLDER (s3://... or gs://...) has what submit.sh put there; NFS_EXPORT is HOST:/PATH of EFS, FSx or Filestore.
set -euo pipefail

folder=${1:?FOLDER}
export=${2:?NFS_EXPORT}
home=/opt/tokensieve

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if command -v dnf >/dev/null; then
    as_root dnf install -y -q nfs-utils python3.11 python3.11-pip
else
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends nfs-common python3.11-venv
fi
as_root mkdir -p /data "$home"
as_root mount -t nfs4 -o nfsvers=4.1,hard,timeo=600,retrans=2 "$export" /data
as_root chown "$(id -u)" "$home"

case $folder in
    s3://*) extras=score,s3 && aws s3 cp --quiet --recursive "$folder" "$home" ;;
    gs://*) extras=score,gcs && gcloud storage cp --recursive "$folder/*" "$home" ;;
    *) echo "prepare_node.sh: $folder is neither s3:// nor gs://" >&2; exit 2 ;;
esac
chmod +x "$home/discover_gpus.sh"
python3.11 -m venv "$home"
wheels=("$home"/tokensieve-*.whl)
"$home/bin/pip" install --quiet --constraint "$home/constraints.txt" "${wheels[-1]}[$extras]" pandas
