#!/bin/bash
# A job array of Slurm: each of its jobs takes every n-th shard. Submit with
#   ROOT=/data/batch sbatch --array=0-99 docs/templates/slurm.sh
# A job that is killed, or runs out of time, is submitted again; finished shards are kept.
#SBATCH --job-name=ecg-hough
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=2G
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail

# Compiled networks go to the node's own disk: the first process makes them, the others find them.
export ECG_HOUGH_CACHE="${TMPDIR:-/tmp}/ecg-hough-cache"
export OMP_NUM_THREADS=1

exec ecg-hough batch run "$ROOT" \
  --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
  --workers "${SLURM_CPUS_PER_TASK:-1}"
