#!/usr/bin/env bash
# Trains and exports a video model: scripts/train_video.sh RECIPE CLIPS PHOTOS RUNS [OPTIONS of `calotype train video`]
# RECIPE is video-s or video-m. Started again, it goes on from the last checkpoint. On several cores or GPUs:
# LAUNCH="torchrun --nproc-per-node N -m" (one thread each). How each shipped file was made is said by its card.
set -euo pipefail
recipe=$1 clips=$2 photos=$3 runs=$4
launch=${LAUNCH:-python -m}
$launch calotype train video --recipe "$recipe" --clips "$clips" --photos "$photos" --out "$runs/$recipe" "${@:5}"
python -m calotype train export "$runs/$recipe" "$runs/$recipe.own.safetensors" --data "$clips"
