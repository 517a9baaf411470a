#!/usr/bin/env bash
# One batch again and again, for cron: what is complete is skipped, what was stopped goes on, new scenes are found.
#   */30 * * * *  cron.sh CONFIG >> geoseg.log 2>&1
# While the last one runs, the next leaves at once with 0. Exit codes: 0 all complete, 7 scenes failed (see summary.json),
# 75 the time was over or the cluster lost (the next one goes on).
set -euo pipefail

config=$1
shift

exec flock --nonblock --conflict-exit-code 0 "$config.lock" \
    geoseg batch "$config" --max-runtime 8h --progress json "$@"
