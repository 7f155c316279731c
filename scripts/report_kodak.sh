#!/usr/bin/env bash
# The Kodak report: our model, JPEG, WebP, AVIF, JPEG XL and published curves.
# scripts/report_kodak.sh KODAK_DIR CURVES_DIR OUT_DIR    (CURVES_DIR: CompressAI's results/image/kodak, vtm.json among them)
set -euo pipefail
mkdir -p "$3"
calotype eval "$1" --codec ours --codec jpeg --codec webp --codec avif --codec jxl --metric psnr_rgb --metric ms_ssim_rgb \
    --keep --out "$3/kodak.json"
curves=()
for name in hm jpeg webp compressai-{bmshj2018-hyperprior,mbt2018-mean,mbt2018,cheng2020-anchor}_mse_cuda; do
    curves+=(--curve "$2/$name.json")
done
calotype report "$3/kodak.json" --anchor "$2/vtm.json" "${curves[@]}" --originals "$1" -o "$3/kodak.html" --csv "$3/kodak.csv" --md "$3/kodak.md" \
    --svg "$3/kodak.svg"
