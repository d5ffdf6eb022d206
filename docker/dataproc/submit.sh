#!/usr/bin/env bash
# One refresh on Dataproc: workflow.yaml, filled in and started; waits, and ends with 0 when the refresh is done.
#   make wheel && FOLDER=gs://bucket/tokensieve SUBNET=... NFS=HOST:/PATH REGION=europe-west4 \
#       docker/dataproc/submit.sh [--dry-run] CORPUS.yaml
# --dry-run prints the commands and the template. Project and credentials are gcloud's.
set -euo pipefail

export WORKERS=${WORKERS:-4} WORKER_TYPE=${WORKER_TYPE:-g2-standard-8} DRIVER_TYPE=${DRIVER_TYPE:-n2-standard-8}
export IMAGE=${IMAGE:-3.0-debian12}
# Machine types such as n1 get their GPU attached (ACCELERATOR=nvidia-tesla-t4); g2 and a2 bring their own.
accelerator=${ACCELERATOR:-}
export ACCELERATORS=${accelerator:+"accelerators: [{acceleratorTypeUri: $accelerator, acceleratorCount: 1}]"}

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
dry_run='' corpus=''
for argument in "$@"; do
    case $argument in
        --dry-run) dry_run=yes ;;
        -*) echo "submit.sh: unknown option $argument; the option is --dry-run" >&2; exit 2 ;;
        *) corpus=$argument ;;
    esac
done
: "${corpus:?submit.sh: name the corpus file}"
: "${FOLDER:?submit.sh: set FOLDER to gs://bucket/folder, for the wheel and the scripts}"
: "${SUBNET:?submit.sh: set SUBNET to the subnetwork of the cluster}"
: "${NFS:?submit.sh: set NFS to HOST:/PATH of the file system that tables and shards lie in}"
: "${REGION:?submit.sh: set REGION, such as europe-west4}"
# Google's own script; copy it to a bucket of yours, since it can change under you.
export GPU_DRIVER_ACTION=${GPU_DRIVER_ACTION:-gs://goog-dataproc-initialization-actions-$REGION/gpu/install_gpu_driver.sh}
export FOLDER SUBNET
[ -f "$corpus" ] || { echo "submit.sh: there is no file $corpus" >&2; exit 2; }
wheels=("$repository"/dist/tokensieve-*.whl)
[ -f "${wheels[-1]}" ] || { echo "submit.sh: no wheel in $repository/dist; run make wheel" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -c 'import os, string, sys; sys.stdout.write(string.Template(sys.stdin.read()).substitute(os.environ))' \
    <<<"$(grep -v '^#' "$here/workflow.yaml")" >"$work/workflow.yaml"
# An initialization action takes no arguments.
cat >"$work/initialize.sh" <<EOF
#!/usr/bin/env bash
set -euo pipefail
gcloud storage cp $(printf '%q' "$FOLDER/scripts/prepare_node.sh") /tmp/prepare_node.sh
bash /tmp/prepare_node.sh $(printf '%q %q' "$FOLDER/files" "$NFS")
EOF

run() { if [ "$dry_run" ]; then printf '%q ' "$@"; echo; else "$@"; fi; }

run gcloud storage cp "${wheels[-1]}" "$repository/constraints.txt" "$repository/docker/discover_gpus.sh" "$FOLDER/files/"
run gcloud storage cp "$corpus" "$FOLDER/files/corpus.yaml"
run gcloud storage cp "$repository/docker/prepare_node.sh" "$work/initialize.sh" "$FOLDER/scripts/"
run gcloud dataproc workflow-templates instantiate-from-file --region "$REGION" --file "$work/workflow.yaml"
if [ "$dry_run" ]; then
    cat "$work/workflow.yaml"
fi
