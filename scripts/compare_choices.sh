#!/usr/bin/env bash
# Choices against each other at equal training time: scripts/compare_choices.sh PHOTOS_DIR RUNS_DIR [MINUTES] [JOBS]
# Every variant changes one option of the small net below and trains for MINUTES on one thread, JOBS at a time; keep the machine
# idle otherwise. Then prints cost (bits per pixel + lmbda MSE) on held-out photos against the first variant.
set -euo pipefail
data=$1 runs=$2 minutes=${3:-5} jobs=${4:-2}
small="--width 64 --synthesis-blocks 4 --analysis-blocks 2 --latents 192 --hidden 96 --late 0"
mkdir -p "$runs"
{
    echo "quadtree"
    echo "checkerboard --prior checkerboard"
    echo "channels --prior channels"
    echo "elic --prior elic"
    echo "hyper --prior hyper"
    echo "scales-ahead --scales side"
    echo "adamw --optimiser adamw"
    echo "random-start --start random"
    echo "wsilu --activation wsilu"
    echo "batch-8 --batch 8"
    echo "width-96 --width 96"
    echo "width-144 --width 144"
    echo "muon-.004 --muon-lr 0.004"
    echo "adamw-.004 --optimiser adamw --lr 0.004"
} | xargs -P "$jobs" -L 1 bash -c '
    name=$0; echo "$name: $*"
    OMP_NUM_THREADS=1 python -m calotype train image --data "'"$data"'" --out "'"$runs"'/$name" '"$small"' --minutes '"$minutes"' \
        --threads 1 --validate-every 1000000 --save-every 1000000 --log-every 50 "$@" > "'"$runs"'/$name.txt"'
python - "$runs" <<'PY'
import json, sys
from pathlib import Path

order = ["quadtree", "checkerboard", "channels", "elic", "hyper", "scales-ahead", "adamw", "random-start", "wsilu"]
order += ["batch-8", "width-96", "width-144", "muon-.004", "adamw-.004"]
base = None
for name in order:
    log = [json.loads(line) for line in (Path(sys.argv[1]) / name / "log.jsonl").read_text().splitlines()]
    last = [r for r in log if "validation" in r][-1]
    cost = [p["cost"] for p in last["validation"]]
    base = base or cost
    against = "  ".join(f"{100 * (c / b - 1):+5.1f} %" for c, b in zip(cost, base))
    print(f"{name:14} {last['step']:6} steps  {against}   ({'  '.join(f'{c:.4f}' for c in cost)})")
PY
