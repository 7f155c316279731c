"""Our codec of clips as `eval` measures it, with the shipped model, on clips of 64 x 48 and 63 x 47."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_clips import RATE, make_frames, write_y4m

from calotype import threads
from calotype.codecs import y4m
from calotype.codecs.video.decoder import Video
from calotype.codecs.video.structure import load
from calotype.codecs.y4m import Planes
from calotype.errors import UsageError
from calotype.eval.coders import make, ours_video
from calotype.eval.coders.ours_video import differing_in_planes
from calotype.eval.evaluate import Setup, evaluate
from calotype.eval.frames import PICTURE
from calotype.eval.sources import open_sources
from calotype.models.zoo import DEFAULT_VIDEO_MODEL

HERE = {"torch": "1", "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("clips")
    write_y4m(found / "even.y4m", count=9)
    write_y4m(found / "odd.y4m", 63, 47, count=3)
    return found


@pytest.fixture(scope="module")
def clips(folder):
    return {source.name: source for source in open_sources([folder])}


@pytest.fixture
def own_threads():
    """The number of threads as it was before."""
    before = threads.set_count(None)
    threads.set_count(before)
    yield
    threads.set_count(before)


def frames_of(data: bytes, path) -> tuple[list[str], list[int]]:
    """Kinds and display numbers of the coded frames of a file, in coding order."""
    path.write_bytes(data)
    with Video(path, model=DEFAULT_VIDEO_MODEL) as video:
        events = [event for event in video.reader if hasattr(event, "head")]
        return [event.head.kind for event in events], [event.segment.start + event.head.number for event in events]


@pytest.mark.parametrize("spec", ["ours-video:low-delay", "ours-video:random-access", "ours-video:intra"])
@pytest.mark.parametrize("name", ["even.y4m", "odd.y4m"])
def test_a_clip_becomes_a_whole_file_and_comes_back_as_the_encoder_believes(spec, name, clips, tmp_path):
    source = clips[name]
    coded = make(spec).code(source, 50)
    assert coded.data_bytes == len(coded.stream) and coded.differing_pixels == 0 and coded.repeatable is None
    assert 0 < coded.data_bytes - coded.estimated_bits / 8 <= max(64, 0.01 * coded.data_bytes)
    assert coded.encode_seconds["total"] > 0 and coded.decode_seconds["total"] > 0
    (tmp_path / "a.calo").write_bytes(coded.stream)
    with Video(tmp_path / "a.calo", model=DEFAULT_VIDEO_MODEL) as video:
        again = [frame.planes for frame in video]
    for ours, theirs in zip(coded.decoded.frames(), again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    seen = coded.decoded
    assert (seen.width, seen.height, seen.count, seen.rate) == (source.width, source.height, source.count, source.rate)


def test_structures_are_those_of_the_spec_and_intra_frames_come_as_often_as_asked(clips, tmp_path):
    def coded(spec: str, period: int | None = None) -> tuple[list[str], list[int]]:
        return frames_of(make(spec, intra_period=period).code(clips["even.y4m"], 30).stream, tmp_path / "a.calo")

    assert coded("ours-video:low-delay") == (["I", *"P" * 8], list(range(9)))
    kinds, numbers = coded("ours-video:random-access-8")
    assert kinds.count("I") == 1 and "B" in kinds and numbers[:3] == [0, 8, 4]
    kinds, numbers = coded("ours-video:low-delay", 4)
    assert [number for kind, number in zip(kinds, numbers, strict=True) if kind == "I"] == [0, 4, 8]


def test_a_cut_brings_no_intra_frame(tmp_path):
    frames = make_frames(count=3) + [tuple(np.full_like(plane, 40) for plane in frame) for frame in make_frames(count=3)]
    with (tmp_path / "cut.y4m").open("wb") as stream:
        y4m.write_header(stream, 64, 48, RATE)
        for frame in frames:
            y4m.write_frame(stream, frame)
    [source] = open_sources([tmp_path / "cut.y4m"])
    kinds, _ = frames_of(make("ours-video:low-delay").code(source, 30).stream, tmp_path / "a.calo")
    assert kinds == ["I", *"P" * 5]


def test_more_quality_is_more_bytes_over_the_eight_points(clips):
    coder = make("ours-video:low-delay")
    assert len(set(coder.points)) == 8 and list(coder.points) == sorted(coder.points)
    sizes = [coder.code(clips["odd.y4m"], point).data_bytes for point in coder.points]
    assert sizes == sorted(sizes) and len(set(sizes)) == 8
    with pytest.raises(UsageError, match="quality 101: give 0 to 100"):
        coder.code(clips["odd.y4m"], 101)


def test_labels_and_identities_tell_models_structures_and_periods_apart(tmp_path):
    plain = make("ours-video")
    assert plain.label == f"ours-video:{plain.identity['model']}:random-access-16" and plain.kinds == ("clip",)
    for spec in ("ours-video:random-access", f"ours-video:{DEFAULT_VIDEO_MODEL}:random-access-16"):
        assert (make(spec).label, make(spec).identity) == (plain.label, plain.identity)
    assert {"codec", "model", "model_hash", "structure", "intra_period", "rate"} <= plain.identity.keys()
    others = [make("ours-video:low-delay"), make("ours-video", intra_period=8)]
    own = {"intra": {"quality": 3}, "frames": [{"show": 1, "from": [0], "quality": 0, "layer": 0}]}
    (tmp_path / "low-delay.json").write_text(json.dumps(own))
    others.append(make(f"ours-video:{tmp_path / 'low-delay.json'}"))
    assert others[0].label == others[2].label  # a run refuses to mix these, by their identity
    identities = [json.dumps(coder.identity) for coder in (plain, *others)]
    assert len(set(identities)) == 4


def test_specs_of_the_wrong_kind_of_model_say_which_to_use():
    with pytest.raises(UsageError, match="codes clips: give ours-video:"):
        make(f"ours:{DEFAULT_VIDEO_MODEL}")
    with pytest.raises(UsageError, match="give ours:image-"):
        make("ours-video:image-s.4")
    with pytest.raises(UsageError, match="ours-video:x: the model is given twice"):
        make("ours-video:x:low-delay", model=DEFAULT_VIDEO_MODEL)


def test_our_codec_of_pictures_on_a_clip_says_which_codec_to_take(folder):
    run = evaluate(["ours"], list(open_sources([folder / "odd.y4m"])), Setup(), HERE)
    assert run["failures"][0]["error"].endswith("codes a picture, not a clip; our codec of a clip is ours-video")
    assert all(source.kind != PICTURE for source in open_sources([folder]))


def test_worker_processes_measure_what_this_one_does(folder, own_threads):
    sources, setup = list(open_sources([folder])), Setup(("psnr_611",), threads=1)
    runs = [evaluate(["ours-video:low-delay"], sources, setup, HERE, [20, 70], workers=workers) for workers in (1, 2)]
    for run in runs:
        assert not run["failures"] and len(run["rows"]) == 4
        assert all(row["differing_pixels"] == 0 for row in run["rows"])
    alone, together = (
        {(row["source"], row["point"]): (row["bytes"], row["metrics"], row["estimated_bits"]) for row in run["rows"]}
        for run in runs
    )
    assert alone == together


def test_threads_are_those_of_the_setup_wherever_the_codec_is_made(folder, own_threads):
    evaluate(["ours-video"], list(open_sources([folder / "odd.y4m"])), Setup(("psnr_y",), threads=3), HERE, [10])
    assert threads.count() == 3


def test_a_decoder_that_differs_in_a_sample_is_counted(clips, monkeypatch):
    class Wrong(Video):
        def __iter__(self):
            for frame in super().__iter__():
                planes = tuple(plane.copy() for plane in frame.planes)
                planes[1][0, 0] ^= 1
                yield frame._replace(planes=planes)

    coder = make("ours-video:low-delay")
    monkeypatch.setattr(ours_video, "Video", Wrong)
    assert coder.code(clips["odd.y4m"], 20).differing_pixels == 4 * 3


def test_pixels_differ_where_a_sample_of_any_plane_does():
    def planes(*places: tuple[int, int, int]) -> Planes:
        found = np.zeros((3, 5), np.uint8), np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8)
        for plane, row, column in places:
            found[plane][row, column] = 1
        return found

    none = planes()
    assert differing_in_planes(none, planes()) == 0
    assert differing_in_planes(none, planes((0, 2, 4))) == 1
    assert differing_in_planes(none, planes((0, 0, 0), (1, 0, 0))) == 4
    assert differing_in_planes(none, planes((2, 1, 2))) == 1  # the corner of an odd size covers one pixel


def test_what_came_back_is_kept_as_long_as_its_frames_and_no_longer(clips):
    made = make("ours-video:intra").code(clips["odd.y4m"], 20)
    folder = made.decoded.opener.args[0].parent
    assert [path.name for path in folder.iterdir()] == ["decoded.yuv"]
    del made
    assert not folder.exists()


def test_the_default_structure_is_that_of_the_command_line():
    from calotype.cli.encode import encode

    [option] = [option for option in encode.params if option.name == "structure"]
    assert load(option.default).name == ours_video.RANDOM_ACCESS


def test_effort_is_part_of_the_spec_and_named(clips) -> None:
    plain, fitted = make("ours-video:low-delay"), make("ours-video:low-delay:e2")
    assert fitted.label == plain.label + ":e2"
    assert (plain.identity["effort"], fitted.identity["effort"]) == (0, 2)
    assert fitted.code(clips["odd.y4m"], 50).stream != plain.code(clips["odd.y4m"], 50).stream
