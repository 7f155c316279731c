from __future__ import annotations

import sys

import numpy as np
import pytest
from fake_coder import FakeCoder, make_picture
from tiny_clips import write_y4m

from calotype.errors import CalotypeError, UsageError
from calotype.eval import coders
from calotype.eval.coders import compressai
from calotype.eval.frames import picture_frames
from calotype.eval.metrics import psnr_rgb
from calotype.eval.sources import open_sources
from calotype.models.zoo import ALIASES

PICTURE_SPECS = ["jpeg", "jpeg:444", "webp", "avif", "avif:420", "avif:iq", "jp2", "jxl"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    pixels = make_picture(tmp_path_factory.mktemp("picture") / "p.png", 64, 48, seed=5)
    return picture_frames("p.png", pixels)


def make(spec: str):
    if spec == "jxl":
        pytest.importorskip("pillow_jxl")
    return coders.make(spec)


def test_overfitted_pictures_are_measured_in_real_bytes_and_decode_as_the_encoder_saw(source):
    coder = coders.make("overfit:e1")
    coded = coder.code(source, 50)
    assert coder.label == f"overfit:{ALIASES['overfit']}:e1" and coder.identity["effort"] == 1
    assert coded.data_bytes == len(coded.stream) and coded.differing_pixels == 0
    with pytest.raises(UsageError, match="ours:"):
        coders.make("overfit:image-s.4")


@pytest.mark.parametrize(("spec", "model"), [("lossless", "pixels.1"), ("lossless:bitplane:e0", "bitplane.1")])
def test_lossless_pictures_are_measured_in_real_bytes_and_come_back(spec, model, source):
    coder = coders.make(spec)
    coded = coder.code(source, coder.points[0])
    assert coder.label == spec and coder.identity["model"] == model and coded.data_bytes == len(coded.stream)
    assert np.array_equal(next(iter(coded.decoded.frames())), next(iter(source.frames())))
    with pytest.raises(UsageError, match="lossless:other"):
        coders.make("lossless:other")


@pytest.mark.parametrize("spec", PICTURE_SPECS)
def test_an_anchor_gives_real_bytes_that_decode_better_with_more_of_them(spec, source):
    coder = make(spec)
    assert coder.label == spec and coder.kinds == ("picture",) and len(coder.points) == 8
    assert list(coder.points) == sorted(coder.points)
    [pixels] = source.frames()
    psnrs, sizes = [], []
    for point in (coder.points[0], coder.points[4], coder.points[7]):
        coded = coder.code(source, point)
        assert coded.data_bytes == len(coded.stream) and coded.estimated_bits is None
        assert coded.encode_seconds["total"] > 0 and coded.decode_seconds["total"] > 0
        [seen] = coded.decoded.frames()
        assert seen.shape == pixels.shape and seen.dtype == np.uint8
        assert np.array_equal(coder.decode(coded.stream), seen)
        sizes.append(coded.data_bytes)
        psnrs.append(psnr_rgb(pixels, seen))
    assert sizes == sorted(sizes) and psnrs == sorted(psnrs)
    assert {"codec", "version", "configuration", "rate"} <= coder.identity.keys()


def test_jpeg_and_webp_are_what_pillow_writes_by_default_as_in_compressais_bench(source):
    import io

    from PIL import Image

    [pixels] = source.frames()
    for spec, form in (("jpeg", "jpeg"), ("webp", "webp")):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format=form, quality=75)
        assert coders.make(spec).code(source, 75).stream == stream.getvalue()


def test_specs_that_mean_the_same_have_one_label():
    assert coders.make("jpeg:420").label == "jpeg" and coders.make("avif:444:psnr").label == "avif"


@pytest.mark.parametrize(
    "spec",
    ["", "gif", "jpeg:422", "jpeg:420:444", "webp:4", "jxl:7", "avif:10", "jp2:x", "x265:quick", "x265:fast:x", "compressai:x"],
)
def test_a_spec_that_means_nothing_is_refused_saying_what_there_is(spec):
    with pytest.raises(UsageError) as caught:
        coders.make(spec)
    assert spec in str(caught.value) or spec.startswith("compressai")
    if spec in ("", "gif"):
        assert all(synopsis in str(caught.value) for synopsis in coders.synopses())


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"intra_period": 1}])
def test_bad_settings_are_refused(arguments):
    with pytest.raises(UsageError):
        coders.make("jpeg", **arguments)


def test_a_picture_codec_refuses_a_clip(tmp_path):
    write_y4m(tmp_path / "a.y4m")
    [clip] = open_sources([tmp_path / "a.y4m"])
    with pytest.raises(UsageError, match="jpeg codes pictures only, and a.y4m is a clip"):
        coders.make("jpeg").code(clip, 50)


def test_a_picture_that_a_format_cannot_hold_is_a_typed_error(source):
    wide = picture_frames("wide.png", np.zeros((1, 70000, 3), np.uint8))
    for spec in ("jpeg", "webp"):
        with pytest.raises(CalotypeError, match=spec):
            coders.make(spec).code(wide, 50)
    with pytest.raises(CalotypeError, match="jpeg"):
        coders.make("jpeg").decode(b"no jpeg")


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    with pytest.raises(CalotypeError, match="pillow-jxl-plugin"):
        coders.make("jxl")

    def absent():
        raise ImportError("No module named 'compressai'")

    monkeypatch.setattr(compressai, "import_compressai", absent)
    with pytest.raises(CalotypeError, match="compressai:mbt2018 is not available here: No module"):
        coders.make("compressai:mbt2018")


def test_our_codec_reports_what_its_encoder_believes(source):
    coded = coders.code_picture(FakeCoder(framing=3), source, 60)
    assert coded.data_bytes == len(coded.stream) and coded.estimated_bits == 8 * (coded.data_bytes - 3)
    assert (coded.differing_pixels, coded.repeatable) == (0, True)
    assert (coded.encode_seconds["network"], coded.decode_seconds["entropy"]) == (0.25, 0.0625)
    assert coders.code_picture(FakeCoder(wrong=True), source, 60).differing_pixels == 1


def test_our_codec_measures_a_picture_with_the_shipped_model(source):
    coder = coders.make("ours")
    assert coder.label.startswith("ours:image-") and {"model", "model_hash"} <= coder.identity.keys()
    coded = coder.code(source, 50)
    assert (coded.differing_pixels, coded.repeatable) == (0, True)
    assert {"total", "network", "entropy"} <= coded.encode_seconds.keys()
