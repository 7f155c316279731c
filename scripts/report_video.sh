#!/usr/bin/env bash
# The video report: ours, x264, x265, SVT-AV1 and VVenC, low delay and random access: scripts/report_video.sh CLIPS_DIR OUT_DIR [FRAMES]
set -euo pipefail
mkdir -p "$2"
codecs=()
for structure in low-delay random-access; do
    for codec in ours-video x264:medium x265:medium svtav1:8 vvenc:faster; do
        codecs+=(--codec "$codec:$structure")
    done
done
calotype eval "$1" "${codecs[@]}" --frames "${3:-32}" --threads 1 --workers 2 --metric psnr_y --metric psnr_611 --out "$2/video.json"
calotype report "$2/video.json" --anchor x265:medium:random-access --metric psnr_611 -o "$2/video.html" --csv "$2/video.csv" \
    --md "$2/video.md" --svg "$2/video.svg"
