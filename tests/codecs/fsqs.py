"""A model of few indices so small that its nets take no time."""

from __future__ import annotations

from pathlib import Path

import torch

from calotype.models.fsq import prior
from calotype.models.fsq.bundle import write_fsq_model
from calotype.models.fsq.config import FsqConfig
from calotype.models.fsq.net import FsqNet
from calotype.train.exportfsq import DECODER, integer_layers

CONFIG = FsqConfig(coarse=3, fine=4, width=12, analysis=16, blocks=1)


def write_model(path: Path) -> Path:
    """A model file of random weights, whose indices take many values."""
    torch.manual_seed(1)
    net = FsqNet(CONFIG)
    for head in (net.encoder.coarse[2], net.encoder.fine[1]):
        torch.nn.init.normal_(head.weight, std=1.0)
    with torch.no_grad():
        net.decoder.weights[-1] *= 5
    floats = {k: v.numpy() for k, v in net.encoder.state_dict().items()}
    layers = integer_layers(CONFIG, {f"{DECODER}{k}": v for k, v in net.decoder.state_dict().items()})
    write_fsq_model(path, path.stem, floats, layers, prior.Prior(CONFIG, prior.blank(CONFIG)), {})
    return path
