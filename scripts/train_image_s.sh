#!/usr/bin/env bash
# Trains and exports a model of the size of image-s: scripts/train_image_s.sh PHOTOS_DIR RUNS_DIR
# Two stages, as the shipped weights were made (their card says what differed): additive noise from the lapped KLT on, then
# rounded symbols with the encoder's dead zone. Both resume. On several cores or GPUs start it with LAUNCH="torchrun --nproc-per-node N -m".
set -euo pipefail
launch=${LAUNCH:-python -m}
$launch calotype train image --data "$1" --out "$2/image-s.noise" \
    --steps 13500 --batch 16 --crop 128 --late 0 --hard 0 --until 5000
$launch calotype train image --data "$1" --out "$2/image-s" --init "$2/image-s.noise" \
    --steps 2900 --batch 8 --crop 192 --late 0 --hard 1 --lr 4e-4 --muon-lr 1e-3 --warmup 20 --ema 0.998
python -m calotype train export "$2/image-s" "$2/image-s.1.safetensors" --data "$1"
