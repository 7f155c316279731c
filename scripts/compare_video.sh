#!/usr/bin/env bash
# Our codec against x264 on clips, 96 frames, one intra frame: scripts/compare_video.sh CLIPS_DIR OUT_DIR
set -euo pipefail
mkdir -p "$2"
common=(--frames 96 --metric psnr_611 --metric psnr_y)
calotype eval "$1" --codec ours-video:low-delay --codec ours-video:random-access --points 10,35,60,85 --workers 2 --threads 1 \
    "${common[@]}" --out "$2/ours.json"
calotype eval "$1" --codec x264:medium:low-delay "${common[@]}" --out "$2/x264.json"
model=$(python -c "from calotype.models.zoo import DEFAULT_VIDEO_MODEL; print(DEFAULT_VIDEO_MODEL)")
calotype report "$2/ours.json" "$2/x264.json" --anchor x264:medium:low-delay --metric psnr_611 -o "$2/video-ours.html" --md "$2/video-ours.md"
calotype report "$2/ours.json" --anchor "ours-video:$model:low-delay" --metric psnr_611 -o "$2/structures.html" --md "$2/structures.md"
