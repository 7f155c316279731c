from __future__ import annotations

import io
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from mediaclips import Pipe, filled, make, same, smooth_planes, yuv_frame
from PIL import Image

from calotype.codecs import y4m
from calotype.codecs.header import Colour
from calotype.codecs.limits import Limits
from calotype.codecs.video import colour as conversion
from calotype.codecs.video.media_in import open_video
from calotype.errors import CalotypeError, CorruptStreamError, LimitError, UsageError


def read(source, **options):
    """The source, closed, and all its frames."""
    with open_video(source, **options) as clip:
        return clip, [frame for frame in clip.frames()]


def y4m_bytes(count=5, size=(5, 3), rate=Fraction(30000, 1001), tag=""):
    stream = io.BytesIO()
    y4m.write_header(stream, *size, rate, tag)
    for number in range(count):
        y4m.write_frame(stream, smooth_planes(*size, number))
    return stream.getvalue()


def noted(clip, words):
    return any(words in note for note in clip.notes)


# ---- y4m


@pytest.mark.parametrize("wrap", [io.BytesIO, lambda data: Pipe(io.BytesIO(data))], ids=["file", "pipe"])
def test_y4m_streams_give_their_frames_times_and_rate(wrap):
    clip, frames = read(wrap(y4m_bytes()))
    assert (clip.width, clip.height, clip.rate, clip.ticks) == (5, 3, Fraction(30000, 1001), Fraction(1001, 30000))
    assert [frame.time for frame in frames] == [0, 1, 2, 3, 4]
    assert all(same(frame.planes, smooth_planes(5, 3, number)) for number, frame in enumerate(frames))
    assert clip.colour == Colour("bt709", "limited", "420", 8) and noted(clip, "assumed")


@pytest.mark.parametrize("word", ["full", "limited"])
def test_a_y4m_clips_range_is_taken_from_its_tag(tmp_path, word):
    path = tmp_path / "clip.bin"  # known by content
    path.write_bytes(y4m_bytes(tag=word))
    clip, _ = read(path)
    assert clip.colour.range == word and not clip.notes


def test_y4m_of_other_samples_goes_through_pyav():
    data = b"YUV4MPEG2 W4 H2 F25:1 Ip A1:1 C444\nFRAME\n" + bytes([100] * 8 + [90] * 8 + [80] * 8)
    for source in (io.BytesIO(data), Pipe(io.BytesIO(data))):
        clip, frames = read(source)
        assert [int(plane[0, 0]) for plane in frames[0].planes] == [100, 90, 80] and noted(clip, "4:2:0")


def test_start_and_frames_choose_what_is_read():
    data = y4m_bytes(rate=Fraction(10))
    _, frames = read(io.BytesIO(data), start=0.15, frames=2)
    assert [frame.time for frame in frames] == [0, 1] and same(frames[0].planes, smooth_planes(5, 3, 2))
    with pytest.raises(UsageError, match="ends before"):
        read(io.BytesIO(data), start=9)
    for wrong in ({"start": -1}, {"start": float("nan")}, {"frames": 0}, {"rate": Fraction(5)}):
        with pytest.raises(UsageError):
            read(io.BytesIO(data), **wrong)


# ---- movies


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm", ".avi"])
@pytest.mark.parametrize("piped", [False, True])
def test_movies_of_every_kind_are_read_from_files_and_pipes(tmp_path, suffix, piped):
    codec = {".mkv": "ffv1", ".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(suffix, "libx264")
    muxing = {"movflags": "frag_keyframe+empty_moov"} if piped and suffix in (".mp4", ".mov") else {}
    options = {"qscale": "2"} if codec == "mpeg4" else {"crf": "10"} if codec != "ffv1" else {}
    path = make(tmp_path / f"clip{suffix}", codec=codec, options=options, muxing=muxing)
    clip, frames = read(Pipe(io.BytesIO(path.read_bytes())) if piped else path)
    assert (clip.width, clip.height, clip.rate, len(frames)) == (34, 18, 25, 4)
    assert [frame.time * clip.ticks for frame in frames] == [Fraction(number, 25) for number in range(4)]
    for number, frame in enumerate(frames):
        for plane, exact in zip(frame.planes, smooth_planes(34, 18, number), strict=True):
            assert np.abs(plane.astype(int) - exact).mean() < 8
    if suffix == ".mkv":
        assert same(frames[3].planes, smooth_planes(34, 18, 3))


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (33, 17), (34, 17)])
def test_odd_sizes_and_clips_of_one_frame_are_read(tmp_path, size):
    clip, frames = read(make(tmp_path / "clip.mkv", size=size, count=1))
    assert len(frames) == 1 and same(frames[0].planes, smooth_planes(*size)) and (clip.width, clip.height) == size


def test_variable_frame_rates_keep_their_times_exactly(tmp_path):
    times = [0, 3003, 9009, 9010, 20000]
    path = make(tmp_path / "clip.mp4", codec="libx264", count=5, times=times, ticks=Fraction(1, 90000))
    clip, frames = read(path)
    assert [frame.time * clip.ticks for frame in frames] == [Fraction(time, 90000) for time in times]


@pytest.mark.parametrize("start", [0, 0.5, 1.98])
def test_start_within_a_movie_is_exact_whether_it_can_seek_or_not(tmp_path, start):
    options = {"g": "12", "bf": "2"}
    path = make(tmp_path / "clip.mp4", codec="libx264", count=60, options=options, muxing={"movflags": "faststart"})
    _, whole = read(path)
    first = int(np.ceil(start * 25))
    for source in (path, Pipe(io.BytesIO(path.read_bytes()))):
        _, frames = read(source, start=start, frames=3)
        assert len(frames) == min(3, 60 - first) and frames[0].time == 0
        assert all(same(frame.planes, exact.planes) for frame, exact in zip(frames, whole[first:], strict=False))
    with pytest.raises(UsageError, match="ends before"):
        read(path, start=50)


def test_frames_without_times_get_the_nominal_rate_and_a_note(tmp_path):
    path = make(tmp_path / "clip.h264", codec="libx264", muxer="h264", count=6)
    clip, frames = read(path)
    assert [frame.time * clip.ticks for frame in frames] == [Fraction(number, 25) for number in range(6)]
    assert noted(clip, "nominal rate")


# ---- samples


def deep(form, size, values):
    return lambda number: filled(form, size, values, "<u2")


@pytest.mark.parametrize(
    ("form", "values", "expected", "words"),
    [
        ("yuv444p", (100, 90, 81), (100, 90, 81), "4:2:0"),
        ("yuv422p", (100, 90, 81), (100, 90, 81), "4:2:0"),
        ("yuv420p10le", (402, 357, 1023), (101, 89, 255), "10 bits"),
        ("yuv422p10le", (401, 357, 322), (100, 89, 81), "10 bits"),
        ("yuv444p12le", (1608, 1431, 40), (101, 89, 3), "12 bits"),
    ],
)
def test_other_samples_are_reduced_to_eight_bit_420_with_rounding_and_a_note(tmp_path, form, values, expected, words):
    make_frame = deep(form, (6, 4), values) if "le" in form else lambda number: filled(form, (6, 4), values)
    clip, frames = read(make(tmp_path / "clip.mkv", form=form, size=(6, 4), frame=make_frame))
    assert tuple(int(plane[0, 0]) for plane in frames[0].planes) == expected
    assert all((plane == plane[0, 0]).all() for plane in frames[0].planes) and noted(clip, words)


@pytest.mark.parametrize(
    ("form", "values", "expected", "chroma"),
    [
        ("yuv444p", (100, 90, 81), (100, 90, 81), "444"),
        ("yuv444p10le", (402, 357, 1023), (101, 89, 255), "444"),
        ("yuv422p", (100, 90, 81), (100, 90, 81), "420"),
        ("yuv420p", (100, 90, 81), (100, 90, 81), "420"),
    ],
)
def test_full_size_chroma_stays_so_where_it_is_asked_for(tmp_path, form, values, expected, chroma):
    make_frame = deep(form, (6, 4), values) if "le" in form else lambda number: filled(form, (6, 4), values)
    clip, frames = read(make(tmp_path / "clip.mkv", form=form, size=(6, 4), frame=make_frame), full_chroma=True)
    assert [plane.shape for plane in frames[0].planes] == [*y4m.plane_shapes(6, 4, chroma)]
    assert tuple(int(plane[0, 0]) for plane in frames[0].planes) == expected and clip.colour.chroma == chroma
    assert noted(clip, "4:2:0") == (form == "yuv422p") and noted(clip, "10 bits") == ("10" in form)


def test_rgb_is_kept_at_full_size_where_that_is_asked_for(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="bgr0")
    path = make(tmp_path / "clip.mkv", form="bgr0", size=(7, 5), frame=lambda number: frame)
    for number in range(4):
        Image.fromarray(rgb).save(tmp_path / f"{number}.png")
    for source in (path, tmp_path / "%d.png"):
        clip, frames = read(source, full_chroma=True)
        assert clip.colour == Colour("bt709", "full", "444", 8) and noted(clip, "4:4:4")
        assert np.abs(conversion.to_rgb(frames[0].planes, clip.colour).astype(int) - rgb).max() <= 2


def test_chroma_of_444_becomes_the_mean_of_two_by_two_rounded(tmp_path):
    def frame(number):
        made = filled("yuv444p", (5, 3), (50, 0, 0))
        for plane in made.planes[1:]:
            np.frombuffer(plane, np.uint8).reshape(3, -1)[:, :5] = np.arange(15).reshape(3, 5)
        return made

    _, frames = read(make(tmp_path / "clip.mkv", form="yuv444p", size=(5, 3), frame=frame))
    assert frames[0].planes[1].tolist() == [[3, 5, 7], [11, 13, 14]]


def test_grey_has_no_colour_and_full_range(tmp_path):
    clip, frames = read(make(tmp_path / "clip.mkv", form="gray", frame=lambda number: filled("gray", (34, 18), (200,))))
    assert clip.colour.range == "full"
    assert [int(plane[0, 0]) for plane in frames[0].planes] == [200, 128, 128]


def test_rgb_and_transparency_are_converted_with_notes(tmp_path):
    rgba = np.full((18, 34, 4), (200, 30, 60, 9), np.uint8)
    frame = av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="bgra")
    path = make(tmp_path / "clip.mkv", form="bgra", frame=lambda number: frame)
    clip, frames = read(path)
    assert same(frames[0].planes, conversion.to_planes(np.ascontiguousarray(rgba[..., :3]), clip.colour))
    assert noted(clip, "transparency") and noted(clip, "RGB")


def test_gifs_are_clips(tmp_path):
    images = [Image.new("RGB", (9, 7), (value, 20, 30)) for value in (10, 120, 250)]
    images[0].save(tmp_path / "clip.gif", save_all=True, append_images=images[1:], duration=[100, 50, 200])
    clip, frames = read(tmp_path / "clip.gif")
    assert [frame.time * clip.ticks for frame in frames] == [0, Fraction(1, 10), Fraction(3, 20)]
    assert np.abs(conversion.to_rgb(frames[2].planes, clip.colour).astype(int) - (250, 20, 30)).max() <= 3


def tagged(**values):
    def setup(stream):
        for name, value in values.items():
            setattr(stream.codec_context, name, value)

    return setup


def test_tags_of_colour_are_read_and_hdr_is_noted(tmp_path):
    setup = tagged(colorspace=9, color_range=2, color_primaries=9, color_trc=16)
    clip, _ = read(make(tmp_path / "clip.mp4", codec="libx264", setup=setup))
    assert clip.colour == Colour("bt2020", "full", "420", 8)
    assert (clip.primaries, clip.transfer) == (9, 16) and noted(clip, "HDR") and not noted(clip, "assumed")


def test_full_range_is_kept_as_it_is(tmp_path):
    setup = tagged(colorspace=6, color_range=2)
    frame = filled("yuv420p", (34, 18), (255, 3, 250))
    clip, frames = read(make(tmp_path / "clip.mkv", setup=setup, frame=lambda number: frame))
    assert clip.colour == Colour("bt601", "full", "420", 8)
    assert [int(plane[0, 0]) for plane in frames[0].planes] == [255, 3, 250]


def test_a_matrix_that_cannot_be_held_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="matrix"):
        read(make(tmp_path / "clip.mkv", codec="libx264", setup=tagged(colorspace=8)))


# ---- shape


@pytest.mark.parametrize("angle", [90, 180, 270])
@pytest.mark.parametrize("size", [(34, 18), (33, 17)])
def test_rotated_frames_are_shown_upright(tmp_path, angle, size):
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot tag a rotation")
    path = make(
        tmp_path / "clip.mp4", codec="libx264", form="yuv444p", size=size, count=2, options={"crf": "0"},
        setup=lambda stream: stream.set_display_rotation(angle if angle < 180 else angle - 360),
    )
    clip, frames = read(path)
    turns = angle // 90  # counterclockwise
    assert (clip.width, clip.height) == (size if turns == 2 else size[::-1]) and noted(clip, "turned upright")
    luma, cb, _ = smooth_planes(*size)
    assert np.array_equal(frames[0].planes[0], np.rot90(luma, turns))
    found = frames[0].planes[1].repeat(2, 0).repeat(2, 1)[: clip.height, : clip.width]
    whole = np.rot90(cb.repeat(2, 0).repeat(2, 1)[: size[1], : size[0]], turns)
    assert np.abs(found.astype(int) - whole).max() <= 2
    full = read(path, full_chroma=True)[1][0].planes
    assert full[1].shape == full[0].shape and np.array_equal(full[0], np.rot90(luma, turns))
    assert np.abs(full[1].astype(int) - whole).max() <= 2


def test_interlaced_frames_are_deinterlaced_one_frame_a_frame_with_a_note(tmp_path):
    def frame(number):
        rgb = np.zeros((48, 64, 3), np.uint8)
        rgb[::2, 4 * number : 4 * number + 12] = 255
        rgb[1::2, 4 * number + 8 : 4 * number + 20] = 255
        return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")

    def comb(luma):  # rows differ from the mean of their neighbours
        luma = luma.astype(int)
        return np.abs(2 * luma[1:-1] - luma[:-2] - luma[2:]).mean()

    options = {"flags": "+ildct+ilme", "x264-params": "tff=1", "crf": "5"}
    path = make(tmp_path / "clip.mp4", codec="libx264", size=(64, 48), count=8, frame=frame, options=options)
    clip, frames = read(path)
    with av.open(str(path)) as container:
        stored = [frame for frame in container.decode(video=0)]
    if not stored[0].interlaced_frame:
        pytest.skip("this encoder made no interlaced frames")
    assert len(frames) == 8 and noted(clip, "deinterlaced")
    assert [frame.time * clip.ticks for frame in frames] == [Fraction(number, 25) for number in range(8)]
    assert comb(frames[4].planes[0]) < comb(stored[4].to_ndarray()[:48]) * 0.6


def test_pixels_that_are_not_square_are_noted(tmp_path):
    def setup(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    assert noted(read(make(tmp_path / "clip.mkv", codec="libx264", setup=setup))[0], "4:3")


def test_frames_that_change_size_are_an_error_that_says_so(tmp_path):
    parts = [make(tmp_path / f"{width}.ts", codec="libx264", size=(width, 32), count=3) for width in (64, 32)]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(CorruptStreamError, match="change size from 64 x 32 to 32 x 32"):
        read(path)


# ---- what is no clip


def test_no_video_and_only_audio_are_said(tmp_path):
    with av.open(str(tmp_path / "sound.mka"), "w", format="matroska") as container:
        stream = container.add_stream("flac", rate=48000)
        stream.layout = "stereo"
        frame = av.AudioFrame(format="s16", layout="stereo", samples=4096)
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UsageError, match="only audio"):
        read(tmp_path / "sound.mka")


@pytest.mark.parametrize("data", [b"", b"hello world" * 99, bytes(5000), b"YUV4MPEG2 W4 H4 F25:1\n", b"YUV4MPEG2 W4"])
def test_what_is_no_clip_is_a_typed_error(tmp_path, data):
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    for source in (path, io.BytesIO(data), Pipe(io.BytesIO(data))):
        with pytest.raises(CorruptStreamError):
            read(source)
    with pytest.raises(UsageError, match="no file"):
        read(tmp_path / "none.mp4")


def test_calo_files_and_raw_video_are_refused_with_advice(tmp_path):
    (tmp_path / "clip.yuv").write_bytes(bytes(100))
    with pytest.raises(UsageError, match="size"):
        read(tmp_path / "clip.yuv")
    with pytest.raises(UsageError, match="already"):
        read(io.BytesIO(b"CALO\x01......"))


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "ffv1"), (".mp4", "libx264")])
def test_files_cut_short_are_corrupt(tmp_path, suffix, codec):
    muxing = {"movflags": "faststart"} if suffix == ".mp4" else {}
    path = make(tmp_path / f"clip{suffix}", codec=codec, count=100, muxing=muxing)
    data = path.read_bytes()
    for part in (0.3, 0.5):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(CorruptStreamError):
            read(path)


def test_damage_within_frames_never_raises_anything_untyped(tmp_path):
    path = make(tmp_path / "clip.mp4", codec="libx264", count=12, size=(64, 48))
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(data)
        at = int(rng.integers(0, len(data) - 8))
        damaged[at : at + 8] = rng.bytes(8)
        path.write_bytes(damaged)
        try:
            read(path, audio=True)
        except CalotypeError:
            pass


def test_large_pictures_are_stopped_by_the_limits(tmp_path):
    path = make(tmp_path / "clip.mkv")
    for source in (path, io.BytesIO(y4m_bytes(size=(34, 18)))):
        with pytest.raises(LimitError):
            read(source, limits=Limits(max_width=33))


# ---- folders


def test_folders_of_pictures_are_sorted_by_number_and_have_a_rate(tmp_path):
    for number in (10, 9, 1):
        Image.new("RGB", (5, 3), (number, number, number)).save(tmp_path / f"f{number}.png")
    clip, frames = read(tmp_path)
    assert (clip.width, clip.height, clip.rate, clip.ticks) == (5, 3, 30, Fraction(1, 30))
    luma = [int(frame.planes[0][0, 0]) for frame in frames]
    assert luma == sorted(luma) and [frame.time for frame in frames] == [0, 1, 2]
    clip, frames = read(tmp_path, rate=Fraction(10), start=0.1, frames=1)
    assert clip.rate == 10 and len(frames) == 1 and int(frames[0].planes[0][0, 0]) == luma[1]


def test_folders_without_pictures_or_of_several_sizes_are_errors(tmp_path):
    with pytest.raises(UsageError, match="no picture"):
        read(tmp_path)
    for number in (1, 2):
        Image.new("RGB", (5, number)).save(tmp_path / f"{number}.png")
    with pytest.raises(CorruptStreamError, match="2.png is 5 x 2"):
        read(tmp_path)


def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path):
    def peak(count):
        path = make(tmp_path / f"{count}.mkv", size=(320, 240), count=count, frame=lambda number: yuv_frame(planes))
        with open_video(path) as clip:
            tracemalloc.start()
            for _ in clip.frames():
                pass
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    planes = smooth_planes(320, 240)
    assert peak(120) < peak(12) + 2 * 320 * 240


def test_a_path_is_never_taken_for_a_protocol(tmp_path, monkeypatch):
    make(tmp_path / "clip.mkv").rename(tmp_path / "http:clip.mkv")
    monkeypatch.chdir(tmp_path)
    assert len(read(Path("http:clip.mkv"))[1]) == 4


def test_patterns_of_names_give_their_frames_by_number_and_say_what_is_missing(tmp_path):
    for name, value in (("f008", 80), ("f009", 90), ("f010", 100), ("f1000", 200), ("f7", 0), ("f011x", 0), ("g009", 0)):
        Image.fromarray(np.full((4, 6, 3), value, np.uint8)).save(tmp_path / f"{name}.png")
    clip, frames = read(tmp_path / "f%03d.png", rate=Fraction(24))
    assert [round(int(frame.planes[0][0, 0]) * 1.164 - 18.6) for frame in frames] == pytest.approx([80, 90, 100, 200], abs=1)
    assert clip.rate == 24 and any("989 of the numbers from 8 to 1000 are missing" in note for note in clip.notes)
    clip, frames = read(tmp_path / "f%d.png", frames=1)
    assert len(frames) == 1 and any("30 frames a second are assumed" in note for note in clip.notes)
    for name in ("none%d.png", "nowhere/f%d.png", "f%d-%d.png", "f%03d%.png"):
        with pytest.raises(UsageError):
            open_video(tmp_path / name)
