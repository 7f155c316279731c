"""Clips with their own networks as `eval` measures them."""

from __future__ import annotations

import pytest
from tiny_clips import write_y4m

from calotype.errors import UsageError
from calotype.eval.coders import make
from calotype.eval.sources import open_sources


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_y4m(folder / "odd.y4m", 33, 25, count=5)
    return next(open_sources([folder]))


@pytest.mark.parametrize("net", ["hnerv", "nirvana"])
def test_a_fitted_clip_comes_back_as_the_encoder_believes(source, net) -> None:
    coder = make(f"inr-video:{net}:e0")
    assert coder.label == f"inr-video:{net}.1:e0" and coder.identity["model"] == f"{net}.1"
    coded = coder.code(source, 60)
    assert coded.differing_pixels == 0 and coded.data_bytes == len(coded.stream)
    assert len(list(coded.decoded.frames())) == 5


@pytest.mark.parametrize("spec", ["inr-video:other", "inr-video:hnerv:e1:more"])
def test_other_specs_are_refused_by_name(spec) -> None:
    with pytest.raises(UsageError, match="inr-video"):
        make(spec)


def test_the_first_network_is_the_default() -> None:
    assert make("inr-video").label == "inr-video:hnerv.1"
