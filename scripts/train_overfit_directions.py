#!/usr/bin/env python
"""Gives nets of overfitted pictures directions: scripts/train_overfit_directions.py PHOTOS... OUT.safetensors --init MODEL
    --set COUNT EFFORT LOW HIGH SEED ... --net NUMBER LOW HIGH ... --keep NUMBER ... --work WORK --minutes M

--set: crops of photos (each 16th is left out), coded by --init at that effort, 0 without rounds, at qualities from LOW to HIGH,
of 1000. --net: nets of --init, by number, that go on from there with directions, those that they have or new ones, on crops of
qualities from LOW to HIGH, M minutes each; --only learns one of them and stops, so that they may run side by side; each goes on
from where it was. --keep: nets of --init that pictures may choose besides. All else stays as it is in --init. What is made is
kept in WORK.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from calotype import threads
from calotype.models.overfit.bundle import write_overfit_model
from calotype.models.overfit.net import SynthesisNet
from calotype.models.zoo import load_any_model
from calotype.train import overfit, overfitmodulation, overfittrellis
from calotype.train.data import Photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    parser.add_argument("--init", required=True)
    sets = ("COUNT", "EFFORT", "LOW", "HIGH", "SEED")
    parser.add_argument("--set", type=int, nargs=5, action="append", required=True, metavar=sets)
    parser.add_argument("--net", type=int, nargs=3, action="append", required=True, metavar=("NUMBER", "LOW", "HIGH"))
    parser.add_argument("--keep", type=int, nargs="*", default=[])
    parser.add_argument("--only", type=int, help="one of --net, from 0 on, in their order")
    parser.add_argument("--held", type=int, default=24, help="crops of held-out photos, that tell how it goes")
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--count", type=int, default=16, help="directions of a net that has none")
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--steps", type=int, default=200_000, help="at most")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--device", default="cpu", help="that nets are trained on")
    parser.add_argument("--compile", action="store_true", help="training steps, by torch.compile: 0.4 of the time on a CPU")
    parser.add_argument("--work", type=Path, required=True)
    options, started = parser.parse_args(), time.monotonic()
    threads.apply()
    torch.manual_seed(0)

    def said(line: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {line}", flush=True)

    @cache
    def photos() -> Photos:
        return Photos(options.photos, options.side)

    def planes(crop: overfit.Crop) -> tuple[Tensor, Tensor]:
        given, wanted = overfit.both_planes(bundle.synthesis, [crop])[0]
        return given.to(options.device), wanted.to(options.device)

    bundle = load_any_model(options.init)[1]
    wanted = [net for place, net in enumerate(options.net) if options.only in (None, place)]
    crops: list[tuple[int, tuple[Tensor, Tensor]]] = []  # with their qualities
    for number, (count, effort, low, high, seed) in enumerate(options.set):
        folder = options.work / f"set{number}"
        for crop, quality in overfittrellis.coded(photos, bundle, count, options.side, effort, seed, folder, (low, high)):
            if any(least <= quality <= most for _, least, most in wanted):
                crops.append((quality, planes(crop)))
    said(f"{len(crops)} crops")
    nets, directions = [], []
    for place, (number, low, high) in enumerate(options.net):
        if options.only in (None, place):
            net = SynthesisNet().to(options.device)
            net.from_integers(bundle.filters[number])
            folder = options.work / f"held{place}"
            aside = overfittrellis.coded(photos, bundle, options.held, options.side, 0, 1, folder, (low, high), True)
            held, own = [planes(crop) for crop, _ in aside], [both for quality, both in crops if low <= quality <= high]
            count = bundle.counts[number] or options.count
            how = count, options.steps, options.rate, options.work / f"moved{place}.safetensors", said
            more = 60 * options.minutes, options.compile, bundle.directions[number], held
            made = overfitmodulation.integers(overfitmodulation.learn(net, own, *how, *more))
            nets.append(made[0])
            directions.append(made[1])
    if options.only is not None:
        return
    nets += [bundle.filters[number] for number in options.keep]
    synthesis = replace(bundle.synthesis, arrays=nets[0])
    card = {"command": " ".join(f"--{k} {v}" for k, v in vars(options).items() if k not in ("photos", "out", "work"))}
    write_overfit_model(options.out, options.out.stem, bundle.prior, synthesis, card, nets[1:], directions)
    said(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
