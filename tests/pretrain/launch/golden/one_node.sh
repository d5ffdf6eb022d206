#!/usr/bin/env bash
# Starts the trainers of one node. Written by `tokensieve pretrain launch`.
set -euo pipefail
cd /project
export OMP_NUM_THREADS=1
command=(
  /env/bin/python -m torch.distributed.run
  --standalone
  --nproc-per-node=2
  --max-restarts=0
  -m tokensieve.jobs.cli
  --config /run/launch/config.yaml
)
"${command[@]}" &
agent=$!

trainers() { cat /proc/"$agent"/task/*/children 2>/dev/null || true; }
# They save and end. torchrun may start them again, --max-restarts times; those end at once.
stop() {
  stopped=yes
  local first
  first=$(trainers)
  kill -TERM ${first:-$agent} || true
  while kill -0 $first 2>/dev/null; do sleep 0.2; done
  while kill -0 "$agent" 2>/dev/null; do
    kill -TERM $(trainers) 2>/dev/null || true
    sleep 0.2
  done
}
trap stop TERM USR1
while true; do
  stopped=
  code=0
  wait "$agent" || code=$?
  # A signal ends `wait` early, with 128 and its number.
  [[ "$stopped" && "$code" -gt 128 ]] || exit "$code"
done
