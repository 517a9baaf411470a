#!/usr/bin/env bash
#SBATCH --job-name=geoseg-finish
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=01:00:00
# The outputs of a scene whose shards are done; see slurm_shards.sh. Exit code 7 where chunks are missing.
set -euo pipefail

geoseg finish "$1" --progress json
