#!/usr/bin/env bash
# Overfitted clips against the video model and x264 medium: scripts/overfit_video.sh CLIP|CLIPS_DIR OUT_DIR [FRAMES] [EFFORT] [STRUCTURE]
# One intra frame, whole files. PSNR of 8-bit 4:2:0 as (6 Y + U + V) / 8.
set -euo pipefail
mkdir -p "$2"
model=$(python -c "from calotype.models.zoo import DEFAULT_VIDEO_MODEL; print(DEFAULT_VIDEO_MODEL)")
structure=${5:-low-delay}
ours="ours-video:overfit-video:$structure:e${4:-2}"
common=(--frames "${3:-16}" --metric psnr_611 --metric psnr_y --threads 1)
calotype eval "$1" --codec "$ours" --points 15,35,55,75 "${common[@]}" --out "$2/overfit.json"
calotype eval "$1" --codec "ours-video:$model:$structure" --points 10,35,60,85 "${common[@]}" --out "$2/video.json"
calotype eval "$1" --codec x264:medium:low-delay "${common[@]}" --out "$2/x264.json"
for anchor in x264:medium:low-delay "ours-video:$model:$structure"; do
    calotype report "$2"/{overfit,video,x264}.json --anchor "$anchor" --metric psnr_611 -o "$2/${anchor%%:*}.html" --md "$2/${anchor%%:*}.md"
done
