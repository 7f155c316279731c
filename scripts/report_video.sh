#!/usr/bin/env bash
# The video report: ours, x264, x265, SVT-AV1 and VVenC, low delay and random access, four qualities each:
# scripts/report_video.sh CLIPS_DIR OUT_DIR [FRAMES]
set -euo pipefail
mkdir -p "$2"
points=(ours-video 10,35,60,85 x264:medium 19,27,35,43 x265:medium 19,27,35,43 svtav1:8 22,36,50,63 vvenc:faster 21,29,35,42)
for ((k = 0; k < ${#points[@]}; k += 2)); do
    calotype eval "$1" --codec "${points[k]}:low-delay" --codec "${points[k]}:random-access" --points "${points[k + 1]}" \
        --frames "${3:-96}" --threads 1 --workers 1 --metric psnr_y --metric psnr_611 --out "$2/video.json"
done
calotype report "$2/video.json" --anchor x264:medium:low-delay --metric psnr_611 -o "$2/video.html" --csv "$2/video.csv" \
    --md "$2/video.md" --svg "$2/video.svg"
