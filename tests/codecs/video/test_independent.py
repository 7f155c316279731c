"""Independent frames: a decoder's picture is the encoder's, only the bytes depend on the frame before, and model files with and
without a stem prior are read for what they are."""

from __future__ import annotations

import dataclasses
import io
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from movingclips import COLOUR, encoded, frames_of, moving, same, shipped

from calotype.codecs.container import SYMBOL_HASH_BYTES
from calotype.codecs.dial import Dial
from calotype.codecs.grid import Grid
from calotype.codecs.painter import Painter
from calotype.codecs.video.colour import to_planes
from calotype.codecs.video.decoder import Video
from calotype.codecs.video.frames import INDEPENDENT, CodedFrame, FrameCodec, Picture, crop, pad
from calotype.codecs.video.structure import load, parse, schedule
from calotype.errors import CorruptStreamError, DesyncError, ModelError, UsageError
from calotype.models import modelfile, zoo
from calotype.models.integer.convertprior import float_prior, integer_arrays
from calotype.models.prior import Prior
from calotype.models.stem import STEM, STEM_TABLES, add_stem, start_stem, stem_config
from calotype.models.videobundle import VideoBundle


def copied(folder):
    """A copy of the shipped video model's file, without a stem prior, and its bundle."""
    bundle, path = shipped(), folder / "video-t.safetensors"
    shutil.copy(zoo.WEIGHTS / f"{zoo.DEFAULT_VIDEO_MODEL}.safetensors", path)
    info, arrays, _ = modelfile.read(path)
    left = {k: v for k, v in arrays.items() if not k.startswith((STEM, STEM_TABLES))}
    modelfile.write(path, info.name, info.kind, info.config, info.card, left)
    return path, bundle


def prior_of(bundle: VideoBundle, seen: float) -> Prior:
    """A stem prior that no training made; seen: by how much it depends on the past."""
    torch.manual_seed(0)
    net = Prior(stem_config(bundle.intra.config))
    past = net.past_in.weight.detach().clone()
    start_stem(net, bundle.intra)
    net.past_in.weight.data += seen * past
    return net


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A video model file with a stem prior that depends on the past."""
    path, bundle = copied(tmp_path_factory.mktemp("stem"))
    add_stem(path, integer_arrays(prior_of(bundle, 0.2)), None)
    return path


@pytest.fixture(scope="module")
def codec(file) -> FrameCodec:
    return FrameCodec(VideoBundle.read(file), COLOUR)


@pytest.fixture(scope="module")
def chain(codec) -> list[CodedFrame]:
    """An intra frame and two independent ones, each after the one before."""
    frames = [codec.encode_intra(pad(moving(48, 64, 0)), 500)]
    for number, quality in ((1, 480), (2, 530)):
        frames.append(codec.encode_stem(pad(moving(48, 64, number)), frames[-1].picture, quality))
    return frames


def equal(first: Picture, second: Picture) -> bool:
    pairs = ((first.latents, second.latents), (first.image, second.image))
    return same(first.planes, second.planes) and all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


@pytest.mark.parametrize("execution", [None, "int8", "reference"])
def test_the_decoders_picture_is_the_encoders_on_every_execution(file, chain, execution) -> None:
    codec = FrameCodec(VideoBundle.read(file, execution=execution), COLOUR)
    picture = codec.decode_intra(chain[0].payload, 64, 64, 500)
    for frame, quality in zip(chain[1:], (480, 530), strict=True):
        assert frame.payload[SYMBOL_HASH_BYTES : SYMBOL_HASH_BYTES + 1] == INDEPENDENT
        picture = codec.decode(frame.payload, [picture], quality)
        assert equal(picture, frame.picture) and picture.field is None and not picture.latents.any()


def test_pixels_come_from_a_frames_own_latents_alone(codec, chain) -> None:
    painter = Painter(codec.bundle.intra, Grid.of(64, 64, codec.image.tile), Dial((530,)), np.empty((64, 64, 3), np.uint8))
    painter.add(0, 0, chain[2].picture.image)
    assert same(to_planes(painter.picture(), COLOUR), chain[2].picture.planes)


def test_an_inter_frame_may_follow_an_independent_one_but_not_the_other_way_round(codec, chain) -> None:
    inter = codec.encode(pad(moving(48, 64, 3)), [chain[2].picture, chain[1].picture], 500)
    assert same(codec.decode(inter.payload, [chain[2].picture, chain[1].picture], 500).planes, inter.picture.planes)
    with pytest.raises(UsageError, match="independent"):
        codec.encode_stem(pad(moving(48, 64, 4)), inter.picture, 500)
    with pytest.raises(CorruptStreamError, match="independent"):
        codec.decode(chain[1].payload, [inter.picture], 480)
    with pytest.raises(UsageError, match="its size"):
        codec.encode_stem(pad(moving(32, 32, 4)), chain[0].picture, 500)
    with pytest.raises(CorruptStreamError, match="two frames"):
        codec.decode(chain[2].payload, [chain[1].picture, chain[0].picture], 530)


def test_another_frame_before_is_noticed(codec, chain) -> None:
    with pytest.raises((CorruptStreamError, DesyncError)):
        codec.decode(chain[2].payload, [chain[0].picture], 530)


def test_a_prior_that_starts_as_the_image_models_takes_its_bits(tmp_path) -> None:
    path, bundle = copied(tmp_path)
    net = prior_of(bundle, 0)
    plain = float_prior(bundle.intra.prior)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in plain.state_dict().items())
    add_stem(path, integer_arrays(net), None)
    codec = FrameCodec(VideoBundle.read(path), COLOUR)
    planes = pad(moving(48, 64, 1))
    intra = codec.encode_intra(planes, 400)
    frame = codec.encode_stem(planes, codec.encode_intra(pad(moving(48, 64, 0)), 400).picture, 400)
    assert equal(frame.picture, intra.picture) and frame.estimated_bits == intra.estimated_bits


# ---- damage


def undamaged_or_refused(codec, chain, payload: bytes) -> None:
    try:
        picture = codec.decode(payload, [chain[1].picture], 530)
    except (CorruptStreamError, DesyncError):
        return
    assert equal(picture, chain[2].picture), "a wrong picture, and no error"


@settings(max_examples=150, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0), st.integers(1, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_an_error_or_change_nothing(codec, chain, flips) -> None:
    payload = bytearray(chain[2].payload)
    for at, change in flips:
        payload[at % len(payload)] ^= change
    undamaged_or_refused(codec, chain, bytes(payload))


@settings(max_examples=100, deadline=None)
@given(keep=st.floats(0, 1), more=st.binary(max_size=24))
def test_a_cut_and_other_bytes_after_it_are_an_error_or_change_nothing(codec, chain, keep, more) -> None:
    undamaged_or_refused(codec, chain, chain[2].payload[: int(keep * len(chain[2].payload))] + more)


@settings(max_examples=100, deadline=None)
@given(payload=st.binary(max_size=80))
def test_any_bytes_are_no_independent_frame(codec, chain, payload) -> None:
    with pytest.raises((CorruptStreamError, DesyncError)):
        codec.decode(bytes(SYMBOL_HASH_BYTES) + INDEPENDENT + payload, [chain[1].picture], 530)


# ---- structure and file


def test_a_file_of_the_structure_stem_is_decoded_to_what_its_encoder_saw_from_any_intra_frame_on(codec) -> None:
    frames = frames_of(7)
    data = encoded(codec.bundle, frames, "stem", 40.0, intra_period=4)
    with Video(io.BytesIO(data), bundle=codec.bundle) as video:
        decoded = list(video)
        video.seek(5)
        assert [same(frame.planes, decoded[frame.number].planes) for frame in video] == [True, True]
    picture, expected = None, []
    for number, frame in enumerate(frames):
        planes = pad(frame.planes)
        coded = codec.encode_stem(planes, picture, 400) if number % 4 else codec.encode_intra(planes, 400)
        picture = coded.picture
        expected.append(crop(picture.planes, 48, 64))
    assert [frame.number for frame in decoded] == list(range(7))
    assert all(same(frame.planes, planes) for frame, planes in zip(decoded, expected, strict=True))


def test_frames_of_the_structure_stem_are_all_independent_and_each_drops_the_one_before() -> None:
    coded = list(schedule(load("stem"), range(4)))
    assert [c.independent for c in coded] == [False, True, True, True]
    assert [c.references for c in coded] == [(), (0,), (1,), (2,)] and load("stem").held == 1


@pytest.mark.parametrize(
    "frames, said",
    [
        ([{"show": 1, "from": [0], "independent": 1}], "true or false"),
        ([{"show": 1, "from": [0, -1], "independent": True}], "one reference"),
        ([{"show": 2, "from": [0], "independent": True}, {"show": 1, "from": [2], "independent": True}], "earlier frame"),
        ([{"show": 1, "from": [0], "independent": True}, {"show": 2, "from": [1]}], "all frames are independent"),
        ([{"show": 1, "from": [0], "alone": True}], "exactly"),
    ],
)
def test_what_cannot_be_independent_is_a_usage_error(frames, said) -> None:
    with pytest.raises(UsageError, match=said):
        parse("odd", {"intra": {"quality": 0}, "frames": [{"quality": 0, "layer": 0} | f for f in frames]})


# ---- model files


def test_a_model_file_without_a_stem_prior_codes_all_else_and_says_so(tmp_path, chain) -> None:
    path, _ = copied(tmp_path)
    codec = FrameCodec(VideoBundle.read(path), COLOUR)
    assert codec.bundle.stem is None
    assert equal(codec.decode_intra(chain[0].payload, 64, 64, 500), chain[0].picture)
    with pytest.raises(UsageError, match="stem prior"):
        codec.encode_stem(pad(moving(48, 64, 1)), chain[0].picture, 500)
    with pytest.raises(CorruptStreamError, match="stem prior"):
        codec.decode(chain[1].payload, [chain[0].picture], 480)


def test_adding_a_stem_prior_leaves_all_else_as_it_is_and_replaces_the_one_before(tmp_path) -> None:
    path, bundle = copied(tmp_path)
    info, before, digest = modelfile.read(path)
    prior = integer_arrays(prior_of(bundle, 0.1))
    add_stem(path, prior, bundle.y_bank, {"said": 1})
    own = VideoBundle.read(path)
    assert np.array_equal(own.stem.y_bank.cdf, bundle.y_bank.cdf) and own.hash != digest
    add_stem(path, prior, None)
    after_info, after, _ = modelfile.read(path)
    assert {k: v for k, v in after.items() if not k.startswith(STEM)}.keys() == before.keys()
    assert all(np.array_equal(after[k], v) and after[k].dtype == v.dtype for k, v in before.items())
    assert (after_info.name, after_info.config) == (info.name, info.config)
    read = VideoBundle.read(path)
    assert read.stem.y_bank is read.intra.y_bank
    assert all(np.array_equal(after[STEM + k], v) for k, v in prior.items())


def test_arrays_that_are_no_stem_prior_are_a_model_error(tmp_path) -> None:
    path, bundle = copied(tmp_path)
    config = dataclasses.replace(stem_config(bundle.intra.config), hidden=16)
    add_stem(path, integer_arrays(Prior(config)), None)
    with pytest.raises(ModelError, match="stem"):
        VideoBundle.read(path)
    with pytest.raises(UsageError, match="video model"):
        add_stem(zoo.find_model(bundle.intra.name), {}, None)
