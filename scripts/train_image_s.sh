#!/usr/bin/env bash
# Trains and exports a model of the size of image-s: scripts/train_image_s.sh PHOTOS_DIR RUNS_DIR
# The recipe as it is now; the shipped image-s.2 was made in two stages (its card says how) and differs. It resumes. On several cores or GPUs start it with
# LAUNCH="torchrun --nproc-per-node N -m".
set -euo pipefail
launch=${LAUNCH:-python -m}
$launch calotype train image --data "$1" --out "$2/image-s" --steps 18500 --batch 8 --crop 128 --late-batch 4
python -m calotype train export "$2/image-s" "$2/image-s.2.safetensors" --data "$1"
