#!/usr/bin/env bash
# The figures of overfitted pictures (docs/FIGURES.md): scripts/kodak_overfit.sh KODAK_DIR VTM_JSON OUT_DIR [EFFORT] [POINTS] [WORKERS]
set -euo pipefail
mkdir -p "$3"
calotype eval "$1" --codec "overfit:e${4:-4}" --points "${5:-0,14,28,42,56,70,85,100}" --anchor "$2" --metric psnr_rgb \
    --out "$3/overfit-e${4:-4}.json" --threads 1 --workers "${6:-1}"
