#!/usr/bin/env bash
# Trains and exports a model: scripts/train_image.sh RECIPE PHOTOS RUNS [OPTIONS of `calotype train image`]
# RECIPE is one of `calotype train recipes`. Started again, it goes on from the last checkpoint. On several cores or GPUs:
# LAUNCH="torchrun --nproc-per-node N -m" (one thread each). How each shipped file was made is said by its card.
set -euo pipefail
recipe=$1 photos=$2 runs=$3
launch=${LAUNCH:-python -m}
$launch calotype train image --recipe "$recipe" --data "$photos" --out "$runs/$recipe" "${@:4}"
python -m calotype train export "$runs/$recipe" "$runs/$recipe.own.safetensors" --data "$photos"
