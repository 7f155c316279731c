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
from calotype.models.complexity import overfit_costs
from calotype.models.overfit import cellnet, layout
from calotype.models.overfit.bundle import OverfitBundle
from calotype.train.overfit import rows_of

UNARY = 14  # bits of a size that are mixed


def macs(bundle: OverfitBundle, grids: list[np.ndarray], choice: int, pixels: int) -> tuple[float, float]:
    """(of the prior, of the rest), a pixel."""
    known, rng, live, bits = dict(zip(layout.order(), grids, strict=True)), np.random.default_rng(0), 0, 0
    for grid, values in known.items():
        if not values.any():
            continue
        for features, signed, q, *_ in rows_of(
            grid, known, bundle.prior.arrays["means"], values.size * 8, rng, trellis=bundle.prior.trellis
        ):
            counts = features.any(1) | signed.any(1)
            size = np.abs(q[counts]) + 1 >> 1 if bundle.prior.trellis else np.abs(q[counts])
            live += int(counts.sum())
            bits += int((1 + (size > 0) * (1 + np.minimum(size, UNARY))).sum())
    costs = overfit_costs(bundle.config)
    nets = costs.fine + (costs.coarse if cellnet.COARSE in cellnet.stages(bundle.filters[choice]) else 0)
    return (live * costs.latent + bits * costs.bit) / pixels, nets + costs.rest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--model", help="where it is none of those installed")
    options, totals = parser.parse_args(), []
    for path in options.files:
        stream, codec = open_stream(path.read_bytes(), model=options.model)
        height, width = stream.header.height, stream.header.width
        grids, side = from_payload(codec.bundle, stream.payloads(TILE)[0], layout.padded(height, width))
        prior, rest = macs(codec.bundle, grids, side.choice, height * width)
        totals.append(prior + rest)
        print(f"{path.name}: {totals[-1] / 1000:.2f} kMAC/pixel, prior {prior / 1000:.2f} of it, net {side.choice}", flush=True)
    print(f"{len(totals)} files: mean {np.mean(totals) / 1000:.2f}, most {max(totals) / 1000:.2f} kMAC/pixel")


if __name__ == "__main__":
    main()
