"""Makes what overfitted pictures start from: python scripts/train_overfit.py PHOTOS OUT.safetensors [--init overfit-s.1] ...

PHOTOS: a folder, or .tar files, of photos; each 16th is left out. About ten minutes on one core. With --mix the nets of --init
stay: the prior learns to mix, and the filter goes on, on crops that --init fits at all qualities; with --trellis the same from
--init that mixes, for latents in a trellis. With --again, nets, contexts, a filter by range of qualities and filters by class,
from latents of --init, which has a trellis; --work keeps what is made; with --rest-steps, how the coarsest latents are
expected, too, from whole photos.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from calotype.models.overfit.bundle import OverfitBundle, write_overfit_model
from calotype.models.overfit.mixing import Mixing
from calotype.models.overfit.prior import Prior
from calotype.models.overfit.synthesis import Synthesis
from calotype.models.zoo import load_any_model
from calotype.train import overfit, overfitrest, overfittrellis
from calotype.train.data import Photos

MIXING_PASSES = 2


def again(
    bundle: OverfitBundle,
    photos: Callable[[], Photos],
    coded: list[overfittrellis.Coded],
    options: argparse.Namespace,
    said: Callable[[str], None],
) -> tuple[Prior, Synthesis, Sequence[dict[str, np.ndarray]]]:
    """What --again learns: prior, synthesis, nets more; each net and the prior is kept in --work."""
    nets = []
    for number in range(overfittrellis.NETS) if options.net is None else (options.net,):
        steps = options.filter_steps[min(number, len(options.filter_steps) - 1)]
        how = steps, options.filter_rate, options.coarse[number]
        learn = partial(overfittrellis.learn_net, bundle, coded, number, *how, said)
        nets.append(overfittrellis.kept_net(options.work, number, learn))
    if options.net is not None:
        said(f"net {options.net} is in {options.work}")
        raise SystemExit(0)
    for name in options.also:
        nets += load_any_model(name)[1].filters
    synthesis = overfittrellis.by_class(bundle.synthesis, nets, coded, said)
    prior, path = bundle.prior, options.work / "prior.safetensors"
    if options.scale_steps and not path.exists():
        crops = [c.crop for c in coded]
        prior = overfittrellis.learn_prior(prior, crops, options.scale_steps, options.batch, MIXING_PASSES, said)
        write_overfit_model(path, path.stem, prior, bundle.synthesis, {})
    if path.exists():
        prior = OverfitBundle.read(path).prior
    if options.rest_steps:
        rests = list(overfitrest.rests(photos().train, bundle, options.seed))
        prior = overfitrest.learn_rests(prior, rests, options.rest_steps, options.batch, said)
    return prior, synthesis, nets[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    parser.add_argument("--init", help="a model to go on from")
    parser.add_argument("--crops", type=int, default=150)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--effort", type=int, default=0, help="of the encodes of --again's crops; 0: without rounds")
    parser.add_argument("--seed", type=int, default=1, help="of --again's crops")
    parser.add_argument("--rounds", type=int, default=3, help="of rounding and learning the prior")
    parser.add_argument("--scale-steps", type=int, default=1500, help="of the prior in a round; 0 with --again: as it is")
    parser.add_argument("--rest-steps", type=int, default=0, help="of the prior's nets of rests, of --again; 0: as they are")
    parser.add_argument("--filter-steps", type=int, nargs="+", default=[6000], help="of each net of --again, or of all alike")
    parser.add_argument("--filter-rate", type=float, default=2e-3, help="of learning, of --again")
    parser.add_argument(
        "--coarse", type=int, nargs=overfittrellis.NETS, default=[64, 64, 0], help="channels of coarse nets of --again, or 0"
    )
    parser.add_argument("--net", type=int, help="with --again: learn only this one, from 0 on, and stop")
    parser.add_argument("--also", nargs="*", default=[], help="with --again: models whose nets pictures may choose, too")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--mix", action="store_true", help="only learn to mix, and the filter; needs --init")
    parser.add_argument("--trellis", action="store_true", help="as --mix, from an --init that mixes, with a trellis")
    parser.add_argument("--again", action="store_true", help="from an --init with a trellis; needs --work")
    parser.add_argument("--work", type=Path, help="a folder for what --again is made of")
    options, started = parser.parse_args(), time.monotonic()
    mixes = options.mix or options.trellis
    if (mixes or options.again) and not options.init:
        parser.error("--mix, --trellis and --again need --init")
    if options.again and not options.work:
        parser.error("--again needs --work")

    if options.again and options.scale_steps and not options.rest_steps:
        parser.error("--scale-steps needs --rest-steps: rests are learnt apart")

    def said(line: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {line}", flush=True)

    @cache
    def photos() -> Photos:
        found = Photos(options.photos, options.side)
        said(f"{len(found.train)} photos, {found.megapixels:.0f} megapixels")
        return found

    if options.init:
        bundle = load_any_model(options.init)[1]
        bundle = overfit.with_trellis(bundle) if options.trellis else bundle
        prior, synthesis = bundle.prior, bundle.synthesis
    else:
        prior, synthesis = overfit.blank()
    more: Sequence[dict[str, np.ndarray]] = ()
    if options.again:
        how = options.crops, options.side, options.effort, options.seed, options.work
        coded = list(overfittrellis.coded(photos, bundle, *how))
        crops = [c.crop for c in coded]
    elif mixes:
        crops = overfit.fitted(photos(), bundle, options.crops, options.side, seed=1)
        mixing = bundle.prior.mixing if options.trellis else Mixing.blank()
    else:
        crops = overfit.cut(photos(), synthesis, options.crops, options.side, seed=1)
    said(f"{len(crops)} crops")
    for number in range(MIXING_PASSES if mixes else 0):
        prior, bits = overfit.count(bundle.prior, crops, mixing)
        mixing = prior.mixing
        said(f"pass {number + 1}: {bits:.0f} bits")
    for number in range(0 if mixes or options.again else options.rounds):
        if options.init or number:
            overfit.round_crops(prior, crops)
            said("rounded")
        means = overfit.fit_means(overfit.collect(crops[::4], prior.arrays["means"], 1000, seed=number))
        rows = overfit.collect(crops, means, 1000, seed=number)
        said(f"{sum(len(r.values) for r in rows)} latents")
        steps = options.scale_steps * (2 if number == options.rounds - 1 else 1)
        lr = 3e-3 if options.init or number else 5e-3
        arrays = overfit.fit_scales(prior.arrays, rows, steps, options.batch, lr, said) | {"means": means}
        prior, bits = overfit.count(replace(prior, arrays=arrays), crops)
        said(f"round {number + 1}: {bits:.0f} bits")
    if options.again:
        prior, synthesis, more = again(bundle, photos, coded, options, said)
    else:
        if not mixes:
            overfit.round_crops(prior, crops)
        rate = 2e-3 if options.init else 4e-3
        planes = overfit.both_planes(synthesis, crops)
        arrays = overfit.fit_filter(synthesis.arrays, planes, 0, options.filter_steps[0], rate, said)
        synthesis = replace(synthesis, arrays=arrays, shrinks=np.zeros_like(synthesis.shrinks))
    told = {k.replace("_", "-"): v for k, v in vars(options).items() if k not in ("photos", "out", "work")}
    card = {
        "data": f"{options.crops} crops of photos, of which each 16th is held out",
        "command": " ".join(f"--{k} {v}" for k, v in told.items()),
        "seconds": round(time.monotonic() - started),
    }
    write_overfit_model(options.out, options.out.stem, prior.checked(), synthesis.checked(), card, more)
    said(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
