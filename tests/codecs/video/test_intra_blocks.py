"""Blocks like nothing shown before: found, coded, decoded to the encoder's picture, and refused where a model has none."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from movingclips import COLOUR, clip_info, frames_of, moving, shipped
from test_frames import equal

from calotype.codecs.container import SYMBOL_HASH_BYTES
from calotype.codecs.video.decoder import Video
from calotype.codecs.video.encoder import VideoEncoder, psnr611
from calotype.codecs.video.frames import ALONE, BLOCKS, HAS_INTRA, FrameCodec, mark_of, pad
from calotype.codecs.video.rate import Constant
from calotype.codecs.video.stream import Frame, StreamReader
from calotype.codecs.video.structure import load
from calotype.errors import CorruptStreamError
from calotype.models.motion.field import INTRA, Field
from calotype.models.motion.fieldcoding import motion_banks
from calotype.models.videobundle import VideoBundle


@lru_cache
def with_intra(has: bool = True) -> VideoBundle:
    """The shipped model, its motion's tables with those of intra blocks or without."""
    bundle = shipped()
    mode = np.zeros((4, 4), np.uint8)
    mode[::2] = INTRA
    bank = motion_banks([(Field(16, mode, np.zeros((2, 4, 4, 2), np.int16)), 1)])["intra"]
    motion = {kind: table for kind, table in bundle.motion.items() if kind != "intra"}
    return replace(bundle, motion=motion | ({"intra": bank} if has else {}))


def after_noise(has: bool, block: int):
    """A frame coded after one that is noise."""
    codec = FrameCodec(with_intra(has), COLOUR)
    noise = tuple(np.random.default_rng(0).integers(0, 256, p.shape, np.uint8) for p in pad(moving(64, 96, 0)))
    before = codec.encode_intra(noise, 900).picture
    return codec, before, codec.encode(pad(moving(64, 96, 1)), [before], 900, block)


@pytest.mark.parametrize("block", BLOCKS)
def test_what_was_never_shown_is_coded_in_intra_blocks_and_decodes_to_the_encoders_picture(block) -> None:
    codec, before, frame = after_noise(True, block)
    assert (frame.picture.field.mode == INTRA).mean() > 0.9
    assert frame.payload[SYMBOL_HASH_BYTES] == BLOCKS.index(block) + HAS_INTRA
    assert equal(codec.decode(frame.payload, [before], 900), frame.picture)


def test_a_model_without_tables_for_them_makes_none_and_refuses_them() -> None:
    codec, before, frame = after_noise(False, 16)
    assert not frame.picture.field.has_intra and frame.payload[SYMBOL_HASH_BYTES] == BLOCKS.index(16)
    with pytest.raises(CorruptStreamError, match="intra blocks"):
        codec.decode(after_noise(True, 16)[2].payload, [before], 900)


def test_what_was_shown_before_is_predicted() -> None:
    codec = FrameCodec(with_intra(), COLOUR)
    before = codec.encode_intra(pad(moving(64, 96, 0)), 900).picture
    assert not codec.encode(pad(moving(64, 96, 1)), [before], 700).picture.field.has_intra


@pytest.mark.parametrize("structure", ["low-delay", "random-access-8"])
def test_a_scene_without_an_intra_frame_is_as_good_as_one_and_decodes(structure) -> None:
    frames, sink, got = frames_of(14, cut=5), io.BytesIO(), {}
    encoder = VideoEncoder(with_intra(), clip_info(), load(structure), cuts=False)
    records = list(encoder.encode(iter(frames), Constant(50.0), sink, pictures=got.__setitem__))
    assert [r.number for r in records if r.kind == "I"] == [0]
    scene = next(r for r in records if r.number == 5)
    assert (scene.kind, scene.quality) == ("P", 50.0 + load(structure).intra)
    coded = [event for event in StreamReader(io.BytesIO(sink.getvalue())) if isinstance(event, Frame)]
    assert [event.head.number for event in coded if mark_of(event.payload) == ALONE and event.packed is None] == [5]
    with Video(io.BytesIO(sink.getvalue()), bundle=with_intra()) as video:
        for frame, source in zip(video, frames, strict=True):
            assert all(map(np.array_equal, frame.planes, got[frame.number])) and psnr611(frame.planes, source.planes) > 20
