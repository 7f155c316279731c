#!/usr/bin/env bash
# The Kodak report: our model, JPEG, WebP, AVIF, JPEG XL and published curves.
# scripts/report_kodak.sh KODAK_DIR CURVES_DIR OUT_DIR [WORKERS]    (CURVES_DIR: CompressAI's results/image/kodak, vtm.json among them)
set -euo pipefail
here=$(dirname "$0")
"$here/kodak.sh" "$1" "$2/vtm.json" "$3" "${4:-2}"
calotype eval "$1" --codec jpeg --codec webp --codec avif --codec jxl --keep --out "$3/anchors.json" --threads 1 \
    --workers "${4:-2}"
curves=()
for name in hm jpeg webp compressai-{bmshj2018-hyperprior,mbt2018-mean,mbt2018,cheng2020-anchor}_mse_cuda; do
    curves+=(--curve "$2/$name.json")
done
mkdir -p "$3/pictures"
cp -r "$3/ours/." "$3/anchors/." "$3/pictures"
calotype report "$3/ours.json" "$3/anchors.json" --anchor "$2/vtm.json" "${curves[@]}" --metric psnr_rgb \
    --pictures "$3/pictures" --originals "$1" -o "$3/kodak.html" --csv "$3/kodak.csv" --md "$3/kodak.md" --svg "$3/kodak.svg"
