"""Chains that inter-frame models train on, and what their loss weighs."""

from __future__ import annotations

import pytest
import torch

from calotype.errors import UsageError
from calotype.models.video import CHROMA_WEIGHT, LUMA
from calotype.models.videoconfig import CELLS
from calotype.train.recipes import VideoRecipe
from calotype.train.video import B_FRAMES, LEVEL, P_FRAMES, chain_of, distortion


@pytest.mark.parametrize("frames", [1, 5, 8, 24, 31])
@pytest.mark.parametrize("structure", [P_FRAMES, *B_FRAMES])
def test_every_frame_of_a_chain_is_coded_once_and_after_its_references(structure: str, frames: int) -> None:
    coded = {0}
    for number, references, _ in chain_of(structure, frames):
        assert number not in coded and references and set(references) <= coded
        coded.add(number)
    assert coded == set(range(frames + 1))


def test_no_frame_of_a_p_chain_knows_a_later_one_and_some_of_b_chains_do() -> None:
    later = {s: any(max(r) > n for n, r, _ in chain_of(s, 16)) for s in (P_FRAMES, *B_FRAMES)}
    assert later == {P_FRAMES: False} | dict.fromkeys(B_FRAMES, True)


def test_a_spread_multiplies_what_lies_between_the_qualities_of_a_chain() -> None:
    plain, wide = (sorted({above for *_, above in chain_of(P_FRAMES, 8, spread)}) for spread in (1, 3))
    assert plain[-1] == wide[-1] and wide[-1] - wide[0] == 3 * (plain[-1] - plain[0]) > 0


def test_an_error_of_a_chroma_sample_weighs_as_the_transforms_scale_says() -> None:
    x = torch.zeros(1, CELLS, 4, 6)
    luma, chroma = x.clone(), x.clone()
    luma[0, 3, 1, 2] = chroma[0, LUMA + 5, 1, 2] = 1 / LEVEL
    assert distortion(luma, x).item() == pytest.approx(0.75 / (LUMA * 24))
    assert (distortion(chroma, x) / distortion(luma, x)).item() == pytest.approx(CHROMA_WEIGHT)


def test_a_chain_of_no_frames_is_refused() -> None:
    with pytest.raises(UsageError, match="chain is 0"):
        VideoRecipe(chain=0)
