"""What overfitted clips start from: learnt from chains of frames that a former start codes, written and read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calotype.codecs.header import Colour
from calotype.codecs.video.gridframes import GridFrameCodec
from calotype.errors import ModelError
from calotype.models import modelfile
from calotype.models.overfit.videobundle import OverfitVideoBundle, write_overfit_video_model
from calotype.models.zoo import find_model, load_any_model
from calotype.train import overfitvideo
from calotype.train.overfitvideo import LoopFit

FORMER = "overfit-video-s.2"


def moving(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Four frames of 64x64 that pan over noise that is smooth."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (12, 12)).repeat(8, 0).repeat(8, 1)
    wide = (wide + np.roll(wide, 3, 0) + np.roll(wide, 5, 1)) // 3 + rng.integers(0, 5, wide.shape)
    whole = [wide[3 * k : 3 * k + 64, 2 * k : 2 * k + 64] for k in range(4)]
    small = [frame[::2, ::2] for frame in whole]
    y, u, v = (torch.from_numpy(np.stack(frames).clip(0, 255).astype(np.uint8)) for frames in (whole, small, small))
    return y, u, v


def test_a_start_is_learnt_from_chains_written_and_read(tmp_path: Path) -> None:
    former = load_any_model(FORMER)[1]
    codec, samples = GridFrameCodec(former, Colour("bt709", "limited", "420", 8), 0), []
    for seed, both_ways in enumerate((False, True)):
        samples += overfitvideo.chain(codec, moving(seed), 400, both_ways, LoopFit())
    assert len(samples) == 6 and [s.references for s in samples[:2]] == [1, 2]
    prior, start, first = overfitvideo.learn(overfitvideo.first(former.prior), samples)
    _, _, again = overfitvideo.learn(replace(prior.checked(), mixing=None), samples)
    assert again < first, "probabilities of quiet latents are kept"
    path = tmp_path / "own.safetensors"
    write_overfit_video_model(path, "own", former.intra, prior, former.steps, former.motion, {}, former.loop, start)
    back = OverfitVideoBundle.read(path)
    for mine, other in ((back.prior.mixing, prior.mixing), (back.start, start)):
        assert np.array_equal(mine.maps, other.maps) and np.array_equal(mine.weights, other.weights)
    assert np.array_equal(back.prior.chances, prior.chances) and back.intra.hash == former.intra.hash


@pytest.mark.parametrize("name", ["maps", "mixers", "motion.maps", "motion.mixers"])
def test_a_model_file_whose_mixing_is_none_is_a_model_error(tmp_path: Path, name: str) -> None:
    info, arrays, _ = modelfile.read(find_model("overfit-video-s.3"))
    arrays[name] = arrays[name][:-1]
    modelfile.write(tmp_path / "own.safetensors", "own", info.kind, info.config, {}, arrays)
    with pytest.raises(ModelError, match="export it again"):
        OverfitVideoBundle.read(tmp_path / "own.safetensors")
