"""Makes what overfitted clips start from: python scripts/train_overfit_video.py CLIPS OUT.safetensors [--init MODEL] ...

CLIPS: a folder, or .tar files, of clips, of which some are held out (train/clips.py). Intra frames start from what pictures do;
tables of motion, the search's prices, are those of the default video model.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from calotype.codecs.header import Colour
from calotype.codecs.video.gridframes import GridFrameCodec
from calotype.models.overfit.videobundle import OverfitVideoBundle, write_overfit_video_model
from calotype.models.zoo import DEFAULT_VIDEO_MODEL, load_any_model
from calotype.train import overfit, overfitvideo
from calotype.train.clips import Clips

QUALITIES = (80, 850)  # of chains, tenths
COLOUR = Colour("bt709", "limited", "420", 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    parser.add_argument("--init", help="a model to go on from")
    parser.add_argument("--intra", default="overfit-s.2", help="what intra frames start from")
    parser.add_argument("--chains", type=int, default=48)
    parser.add_argument("--length", type=int, default=5, help="frames of a chain")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=2, help="of coding and learning the prior; 0: only another --intra")
    parser.add_argument("--scale-steps", type=int, default=700, help="of the nets; twice in the last round; 0: as they are")
    parser.add_argument("--effort", type=int, default=0, help="of the frames that are learnt from")
    parser.add_argument("--batch", type=int, default=768)
    options, started = parser.parse_args(), time.monotonic()
    if not options.rounds and not options.init:
        parser.error("--rounds 0 needs --init")

    def said(line: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {line}", flush=True)

    clips = Clips(options.clips, None, options.side, options.length)
    said(f"{len(clips.train)} clips, {clips.megapixels:.0f} megapixels")
    intra, motion = load_any_model(options.intra)[1], load_any_model(DEFAULT_VIDEO_MODEL)[1].motion
    init = load_any_model(options.init)[1] if options.init else None
    prior, loop = overfitvideo.first(init.prior if init else intra.prior), init.loop if init else None
    rng, steps = np.random.default_rng(0), overfitvideo.steps()
    for number in range(options.rounds):
        bundle = OverfitVideoBundle("", b"", intra, prior, steps, motion, "cpu", 0, loop)
        codec, fit, samples = GridFrameCodec(bundle, COLOUR, options.effort), overfitvideo.LoopFit(), []
        for chain in range(options.chains):
            planes = clips.chain(number, chain, 0, options.length, options.side, 1.0)
            quality = int(rng.integers(*QUALITIES))
            samples += overfitvideo.chain(codec, planes, quality, chain % 2 == 1, fit)
        said(f"{len(samples)} frames")
        if not options.scale_steps:
            continue
        loop = fit.solved()
        means = overfit.fit_means(overfitvideo.collect(samples[::3], prior.arrays["means"], 1000, seed=number))
        rows = overfitvideo.collect(samples, means, 1000, seed=number)
        said(f"round {number + 1}: {sum(len(r.values) for r in rows)} latents")
        last = number == options.rounds - 1
        arrays = overfit.fit_scales(prior.arrays, rows, options.scale_steps * (1 + last), options.batch, 3e-3, said)
        prior = replace(prior, arrays=arrays | {"means": means})
    if options.rounds:
        prior, start, bits = overfitvideo.learn(prior, samples)
        said(f"{bits:.0f} bits of all frames, while learning")
    else:
        prior, start, steps, motion = init.prior, init.start, init.steps, init.motion
    card = {
        "data": f"{options.chains} chains of {options.length} frames of {len(clips.train)} clips, a round",
        "command": " ".join(f"--{k.replace('_', '-')} {v}" for k, v in vars(options).items() if k not in ("clips", "out")),
        "seconds": round(time.monotonic() - started),
    }
    write_overfit_video_model(options.out, options.out.stem, intra, prior.checked(), steps, motion, card, loop, start)
    said(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
