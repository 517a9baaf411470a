#!/usr/bin/env bash
#SBATCH --job-name=geoseg
#SBATCH --array=1-8 # shards count from 1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=02:00:00
#SBATCH --requeue
# One large scene over an array of SLURM jobs; nothing runs between them but a shared disk.
#   id=$(sbatch --parsable slurm_shards.sh SCENE OUT [FLAGS of geoseg buildings])
#   sbatch --dependency=afterok:$id slurm_finish.sh OUT
# Every task needs the same kind of CPU (--constraint) or GPU (--gres=gpu:1): another kind is refused with exit code 5.
set -euo pipefail

scene=$1
out=$2
shift 2

export OMP_NUM_THREADS=1 # lanes are geoseg's, one thread each

# --chunk-px: the same for all tasks, where else the free memory of a node would choose.
code=0
srun geoseg buildings "$scene" -o "$out" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --chunk-px 2048 \
    --memory 14GB --max-runtime 110m --progress json "$@" || code=$?

if [ "$code" -eq 75 ]; then # its time was over, or it was preempted: what is done is kept
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
