#!/usr/bin/env bash
# The README's rate-distortion figures: scripts/kodak.sh KODAK_DIR VTM_JSON [RUN_JSON]
set -euo pipefail
calotype eval "$1" --points 0,10,20,30,40,50,60,70,80,90,100 --anchor "$2" --out "${3:-kodak.json}"
