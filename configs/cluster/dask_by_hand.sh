#!/usr/bin/env bash
# A Dask cluster by hand on this machine: scheduler, workers, one batch, and the end of it all.
#   dask_by_hand.sh WORKERS CONFIG [FLAGS of geoseg batch]
# Over several machines: run the line of the scheduler on one of them without --host, that of the worker on each of the
# others, and geoseg anywhere; the scheduler file, the scenes and the outputs lie on a disk that all of them see.
set -euo pipefail

workers=$1
config=$2
shift 2

export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 # each worker is one lane
export DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=20           # lost workers until a task counts as deadly
export DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="10 minutes"       # a first network call may hold the interpreter

folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT

dask scheduler --host 127.0.0.1 --port 0 --no-dashboard --scheduler-file "$folder/scheduler.json" &
dask worker --scheduler-file "$folder/scheduler.json" --nworkers "$workers" --nthreads 1 --memory-limit 0 \
    --no-dashboard --local-directory "$folder" &

until [ -s "$folder/scheduler.json" ]; do sleep 0.2; done
geoseg batch "$config" --scheduler-file "$folder/scheduler.json" --workers "$workers" "$@"
