#!/usr/bin/env python
"""Multiplications a pixel that decoding overfitted pictures takes: scripts/overfit_macs.py FILE.calo...

Counted as models/complexity.py does: the prior's net and means of latents not among zeros (others take none), weights of mixed
bits and what they learn, nets on cells, lifting, filters by class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from calotype.codecs.container import TILE
from calotype.codecs.overfit import from_payload
from calotype.codecs.registry import open_stream
from calotype.models.overfit import layout
from calotype.models.overfit.live import multiplications


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--model", help="where it is none of those installed")
    options, totals = parser.parse_args(), []
    for path in options.files:
        stream, codec = open_stream(path.read_bytes(), model=options.model)
        height, width = stream.header.height, stream.header.width
        grids, side = from_payload(codec.bundle, stream.payloads(TILE)[0], layout.padded(height, width))
        prior, rest = multiplications(codec.bundle, grids, height * width)
        totals.append(prior + rest[side.choice])
        print(f"{path.name}: {totals[-1] / 1000:.2f} kMAC/pixel, prior {prior / 1000:.2f} of it, net {side.choice}", flush=True)
    print(f"{len(totals)} files: mean {np.mean(totals) / 1000:.2f}, most {max(totals) / 1000:.2f} kMAC/pixel")


if __name__ == "__main__":
    main()
