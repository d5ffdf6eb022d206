#!/usr/bin/env bash
# One refresh on Amazon EMR: a cluster that runs `tokensieve refresh` as its only step and then goes away.
#   make wheel && FOLDER=s3://bucket/tokensieve SUBNET=subnet-... NFS=fs-....efs.REGION.amazonaws.com:/ \
#       docker/emr/submit.sh [--dry-run] [--wait] CORPUS.yaml
# --dry-run prints the commands; --wait ends with the refresh's outcome: 0 done, 1 failed (the step's log says how).
# Region and credentials are the AWS CLI's.
set -euo pipefail

release=${RELEASE:-emr-spark-8.1.0} # Spark 4.1
workers=${WORKERS:-4}
worker_type=${WORKER_TYPE:-g6.2xlarge}
driver_type=${DRIVER_TYPE:-m7i.2xlarge}

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
dry_run='' wait='' corpus=''
for argument in "$@"; do
    case $argument in
        --dry-run) dry_run=yes ;;
        --wait) wait=yes ;;
        -*) echo "submit.sh: unknown option $argument; options are --dry-run and --wait" >&2; exit 2 ;;
        *) corpus=$argument ;;
    esac
done
: "${corpus:?submit.sh: name the corpus file}"
: "${FOLDER:?submit.sh: set FOLDER to s3://bucket/folder, for the wheel, the scripts and the logs}"
: "${SUBNET:?submit.sh: set SUBNET to the subnet of the cluster}"
: "${NFS:?submit.sh: set NFS to HOST:/PATH of the file system that tables and shards lie in}"
[ -f "$corpus" ] || { echo "submit.sh: there is no file $corpus" >&2; exit 2; }
wheels=("$repository"/dist/tokensieve-*.whl)
[ -f "${wheels[-1]}" ] || { echo "submit.sh: no wheel in $repository/dist; run make wheel" >&2; exit 2; }

run() { if [ "$dry_run" ]; then printf '%q ' "$@"; echo; else "$@"; fi; }

run aws s3 cp "${wheels[-1]}" "$FOLDER/files/"
run aws s3 cp "$corpus" "$FOLDER/files/corpus.yaml"
for file in constraints.txt docker/discover_gpus.sh; do
    run aws s3 cp "$repository/$file" "$FOLDER/files/"
done
for script in "$repository/docker/prepare_node.sh" "$here/gpu_cgroups.sh"; do
    run aws s3 cp "$script" "$FOLDER/scripts/"
done

words=(
    spark-submit --master yarn --deploy-mode client --conf "spark.executor.instances=$workers"
    /opt/tokensieve/lib/python3.11/site-packages/tokensieve/jobs/refresh.py --config /opt/tokensieve/corpus.yaml --json
)
step=Name=refresh,Type=CUSTOM_JAR,Jar=command-runner.jar,ActionOnFailure=TERMINATE_CLUSTER,Args=[$(IFS=,; echo "${words[*]}")]
create=(
    aws emr create-cluster --name tokensieve-refresh --release-label "$release" --applications Name=Spark
    --use-default-roles --ec2-attributes "SubnetId=$SUBNET" --auto-terminate
    --instance-groups
    "InstanceGroupType=MASTER,InstanceCount=1,InstanceType=$driver_type"
    "InstanceGroupType=CORE,InstanceCount=$workers,InstanceType=$worker_type"
    --configurations "file://$here/configurations.json"
    --bootstrap-actions
    "Path=$FOLDER/scripts/gpu_cgroups.sh"
    "Path=$FOLDER/scripts/prepare_node.sh,Args=[$FOLDER/files,$NFS]"
    --steps "$step" --log-uri "$FOLDER/logs/" --tags product=tokensieve
    --query ClusterId --output text
)
if [ "$dry_run" ]; then
    run "${create[@]}"
    exit
fi
cluster=$("${create[@]}")
echo "cluster $cluster; logs: $FOLDER/logs/$cluster/steps/"
[ "$wait" ] || exit 0
while true; do
    state=$(aws emr list-steps --cluster-id "$cluster" --query 'Steps[0].Status.State' --output text)
    case $state in
        COMPLETED) echo "done"; exit 0 ;;
        CANCELLED | FAILED | INTERRUPTED) echo "submit.sh: the step is $state; its log says why" >&2; exit 1 ;;
        *) sleep 60 ;;
    esac
done
