from __future__ import annotations

from fractions import Fraction

import numpy as np

from calotype.eval.datasets import KNOWN, identify
from calotype.eval.frames import CLIP, YUV420P, Frames, picture_frames


def clip(name: str, width: int, height: int, count: int, rate: int) -> Frames:
    return Frames(name, CLIP, width, height, count, Fraction(rate), YUV420P, lambda: iter(()))


def whole(name: str) -> list[Frames]:
    return [clip(f"{f.stem}.yuv", f.width, f.height, f.frames, int(f.rate)) for f in KNOWN[name].files]


def test_the_sets_have_the_sizes_they_are_published_with():
    counts = {name: known.count for name, known in KNOWN.items()}
    assert counts == {
        "kodak": 24,
        "clic2020-professional": 41,
        "tecnick": 100,
        "uvg": 7,
        "mcl-jcv": 30,
        "hevc-b": 5,
        "hevc-c": 4,
        "hevc-d": 4,
        "hevc-e": 3,
    }
    assert all(file.sha256 for file in KNOWN["kodak"].files)


def test_every_whole_video_set_is_recognised():
    for name, known in KNOWN.items():
        if known.kind == CLIP:
            assert identify(whole(name)) == (name, [])


def test_part_of_a_set_is_said():
    some = [clip("Beauty.y4m", 1920, 1080, 96, 120), clip("Jockey_1080p.mp4", 1920, 1080, 600, 120)]
    assert identify(some) == ("uvg", ["2 of 7 files", "Beauty.y4m: 96 of 600 frames"])


def test_wrong_size_rate_and_length_are_said():
    sources = [clip("BQMall.y4m", 416, 240, 601, 50), *whole("hevc-c")[:-1]]
    sources = [source for source in sources if source.name != "BQMall_832x480_60.yuv"] + whole("hevc-c")[-1:]
    name, said = identify(sources)
    assert name == "hevc-c" and len(said) == 3
    assert "not 832 x 480" in said[0] and "601 frames" in said[1] and "not 60" in said[2]


def test_race_horses_is_of_the_set_of_its_size():
    for name in ("hevc-c", "hevc-d"):
        assert identify([source for source in whole(name) if "Race" in source.name])[0] == name


def test_other_samples_under_a_known_name_are_found_by_the_checksum():
    first = KNOWN["kodak"].files[0]
    source = picture_frames("kodim01.webp", np.zeros((first.height, first.width, 3), np.uint8))
    assert "checksum" in identify([source])[1][1]
    assert identify([source], sums=False) == ("kodak", ["1 of 24 files"])


def test_what_is_of_no_set_is_of_none():
    stranger = picture_frames("holiday.png", np.zeros((2, 2, 3), np.uint8))
    assert identify([]) == identify([stranger]) == (None, [])
    assert identify([stranger, picture_frames("kodim01.png", np.zeros((512, 768, 3), np.uint8))]) == (None, [])
    assert identify([stranger], folder="CLIC2020_professional") == ("clic2020-professional", ["1 of 41 files"])
