#!/usr/bin/env python
"""A model of few indices without its last fine channels: scripts/trim_fsq.py MODEL.safetensors OUT.safetensors --fine N

For channels that a run hardly learnt to use. Files of as many channels as are left have the same indices and the same pixels;
they lie elsewhere on the dial, and the model has another hash.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from calotype.models import modelfile
from calotype.models.fsq.bundle import FsqBundle, write_fsq_model
from calotype.models.fsq.prior import Prior, kernels
from calotype.models.neural.stack import Layer
from calotype.models.overfit.mixing import Mixing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fine", type=int, required=True)
    options = parser.parse_args()
    bundle, card = FsqBundle.read(options.model), modelfile.read_info(options.model).card
    config = replace(bundle.config, fine=options.fine)
    left, before, k = config.channels, bundle.config.channels, kernels()
    enter, *others = bundle.layers
    shape = config.shapes()[0]
    # the stack's input is a value of each channel, then a flag of each
    columns = enter.weights.reshape(shape.rows, 2, before, -1)[:, :, :left].reshape(shape.rows, shape.columns)
    layers = [Layer(shape, enter.fraction, columns, enter.bias), *others]
    floats = dict(bundle.floats)
    for name in ("fine.1.weight", "fine.1.bias"):
        floats[name] = floats[name][: config.fine]
    start = Mixing(
        np.ascontiguousarray(bundle.prior.start.maps[: left * k.CONTEXTS]),
        np.ascontiguousarray(bundle.prior.start.weights[: left * k.SETS * k.NODES]),
    )
    said = dict(card) | {"trimmed": f"from {before} channels to {left}"}
    write_fsq_model(options.out, options.out.stem, floats, layers, Prior(config, start).checked(), said)


if __name__ == "__main__":
    main()
