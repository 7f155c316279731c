#!/usr/bin/env bash
# The rate-distortion figures of pictures (docs/FIGURES.md): scripts/kodak.sh KODAK_DIR VTM_JSON OUT_DIR [WORKERS]
set -euo pipefail
mkdir -p "$3"
calotype eval "$1" --codec ours --points 0,10,20,30,40,50,60,70,80,90,100 --anchor "$2" --keep --out "$3/ours.json" \
    --threads 1 --workers "${4:-2}"
