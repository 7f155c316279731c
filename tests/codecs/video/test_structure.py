"""GOP structures: what comes with Calotype is what it says, any clip is scheduled soundly, and nonsense is refused."""

from __future__ import annotations

import json
from itertools import count, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.codecs.video.structure import MOST_HELD, Coded, Reorder, Structure, load, names, parse, schedule
from calotype.errors import CorruptStreamError, UsageError

structures = st.sampled_from([load(name) for name in names()])
CUSTOM = {  # the last frame first, then two the other way round
    "intra": {"quality": 3.5},
    "frames": [
        {"show": 3, "from": [0, -6], "quality": 0, "layer": 0},
        {"show": 2, "from": [3, 0], "quality": -4, "layer": 1},
        {"show": 1, "from": [2], "quality": -6, "layer": 2},
    ],
}


def dyadic(n: int) -> list[tuple[int, tuple[int, ...], int]]:
    """(show, references, layer), written anew: each frame from its two nearest coded neighbours."""
    frames = [(n, (0, -n), 0)]
    stack = [(0, n, 1)]
    while stack:
        low, high, layer = stack.pop()
        if high - low > 1:
            middle = (low + high) // 2
            frames.append((middle, (low, high), layer))
            stack += [(middle, high, layer + 1), (low, middle, layer + 1)]
    return frames


@pytest.mark.parametrize("n", [8, 16, 32])
def test_random_access_is_the_dyadic_hierarchy_with_quality_falling_by_layer(n) -> None:
    structure = load(f"random-access-{n}")
    assert [(e.show, e.references, e.layer) for e in structure.frames] == dyadic(n)
    quality = {e.layer: e.quality for e in structure.frames}
    assert sorted(quality.values(), reverse=True) == [quality[layer] for layer in sorted(quality)]
    assert len({(e.layer, e.quality) for e in structure.frames}) == len(quality) < structure.held + 1


@pytest.mark.parametrize("n,k", [(8, 1), (8, 5), (16, 9), (32, 31)])
def test_a_tail_is_a_shorter_hierarchy_of_the_same_rule(n, k) -> None:
    structure = load(f"random-access-{n}")
    tail = structure.entries(k)
    assert [(e.show, e.layer) for e in tail] == [(show, layer) for show, _, layer in dyadic(k)]
    assert [e.references for e in tail[1:]] == [references for _, references, _ in dyadic(k)[1:]]
    quality = {e.layer: e.quality for e in structure.frames}
    assert tail[0].references == (0, -n) and all(e.quality == quality[e.layer] for e in tail)


def test_low_delay_refers_to_the_frame_before_and_the_last_key_frame() -> None:
    coded = list(schedule(load("low-delay"), range(11)))
    assert [c.number for c in coded] == list(range(11)) and [c.kind for c in coded] == ["I"] + ["P"] * 10
    expected = [(), (0,), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 8)]
    assert [c.references for c in coded] == expected
    assert [c.quality > coded[1].quality for c in coded[1:]] == [number % 8 == 0 for number in range(1, 11)]


def test_quality_rises_along_a_chain_from_its_first_frame_on_up_to_a_bound_and_anew_in_each_segment_and_scene() -> None:
    structure = parse("rising", {**CUSTOM, "rise": {"every": 12, "most": 2}})
    coded = list(schedule(structure, range(130), None, lambda n: n == 60, scenes=lambda n: n == 100))
    begun = {c.number: max(b for b in (0, 60, 100) if b <= c.number) for c in coded}
    assert all(c.rise == min((c.number - begun[c.number]) // 12, 2) for c in coded)
    assert {c.quality for c in coded} == {c.quality for c in schedule(parse("level", CUSTOM), range(130))}


def test_all_intra_drops_each_frame_at_once() -> None:
    assert list(schedule(load("intra"), "abc")) == [Coded(f, i, "I", (), 0, 0, (i,)) for i, f in enumerate("abc")]


@settings(deadline=None, max_examples=150)
@given(
    structures,
    st.integers(0, 100),
    st.none() | st.integers(1, 40),
    st.sets(st.integers(0, 99), max_size=5),
    st.binary(min_size=8, max_size=8),
    st.sets(st.integers(0, 99), max_size=5),
)
def test_a_decoder_that_obeys_the_drops_has_every_reference_and_no_segment_or_scene_knows_another(
    structure, n, period, cuts, moves, scenes
) -> None:
    moving = lambda frames: moves[frames[0] // 8 % 8] > 127  # noqa: E731
    coded = list(schedule(structure, range(n), period, [i in cuts for i in range(n)], moving, scenes.__contains__))
    assert sorted(c.number for c in coded) == list(range(n)) and all(c.frame == c.number for c in coded)
    intra = [c.number for c in coded if c.kind == "I"]
    kept, dropped, last, reorder, shown = set(), set(), 0, Reorder(structure.length), []
    for c in coded:
        assert kept.issuperset(c.references) and len(set(c.references)) == len(c.references) <= 2
        assert c.kind == ("I" if not c.references else "P" if max(c.references) < c.number else "B")
        kept.add(c.number)
        assert kept.issuperset(c.drop) and not dropped.intersection(c.drop)
        kept.difference_update(c.drop)
        dropped.update(c.drop)
        assert len(kept) <= structure.held <= MOST_HELD
        if c.kind == "I":
            last = c.number
            assert kept <= {last}
        assert min(c.references, default=last) >= last and c.number >= last
        shown += reorder.push(c.number, c.frame)
    reorder.close()
    assert shown == list(range(n))
    for scene in [c for c in coded if c.number in scenes and c.kind == "P" and not structure.independent]:
        assert scene.references == (scene.number - 1,) and (scene.quality, scene.layer) == (structure.intra, 0)
        assert not any(min(c.references, default=c.number) < scene.number < c.number for c in coded)
    assert set(intra) >= {c for c in cuts if c < n} | ({0} if n else set())
    if period and n:
        assert all(after - before <= period for before, after in zip(intra, intra[1:] + [n], strict=True))
    elif structure.frames:
        assert set(intra) == {c for c in cuts if c < n} | ({0} if n else set())


@pytest.mark.parametrize("n", [8, 16, 32])
def test_where_there_is_motion_random_access_is_low_delay_within_its_mini_gops(n) -> None:
    structure, low = load(f"random-access-{n}"), load("low-delay")
    coded = list(schedule(structure, range(2 * n + 1), None, None, lambda frames: frames[0] > n))
    assert {c.kind for c in coded if c.number <= n} == {"I", "P", "B"} and {c.kind for c in coded if c.number > n} == {"P"}
    tail = [c for c in coded if c.number > n]
    assert [c.number for c in tail] == list(range(n + 1, 2 * n + 1)) and tail[0].references == (n, 0)
    assert [(c.quality, c.layer) for c in tail] == [(e.quality, e.layer) for e in low.frames] * (n // 8)


@pytest.mark.parametrize("name", names())
def test_pipes_are_scheduled_as_they_come_with_one_mini_gop_held(name) -> None:
    structure, taken = load(name), 0

    def frames():
        nonlocal taken
        for number in count():
            taken = number
            yield number

    for done, coded in enumerate(islice(schedule(structure, frames(), 50), 300), 1):
        assert taken + 1 - done <= max(structure.length, 1) and coded.frame == coded.number


def test_a_detector_of_cuts_is_asked_for_every_frame_once_in_turn() -> None:
    asked = []
    coded = list(schedule(load("random-access-8"), range(20), None, lambda frame: asked.append(frame) or frame == 13))
    assert asked == list(range(20)) and [c.number for c in coded if c.kind == "I"] == [0, 13]


def test_a_structure_of_ones_own_is_read_from_a_file_and_followed(tmp_path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(CUSTOM))
    coded = list(schedule(load(path), range(9)))
    assert load(str(path)).name == "own" and coded[0].quality == 3.5
    order = [(c.number, c.references) for c in coded]
    assert order[:4] == [(0, ()), (3, (0,)), (2, (3, 0)), (1, (2,))]
    assert order[4] == (6, (3,)) and order[7:] == [(8, (6, 0)), (7, (6, 8))]


BROKEN = [
    ({"show": 9}, "not within 1..3"),
    ({"show": 2}, "shown twice"),
    ({"show": True}, "whole numbers"),
    ({"from": []}, "one or two different references"),
    ({"from": [0, 2, 3]}, "one or two different references"),
    ({"from": [0, 0]}, "one or two different references"),
    ({"from": [1]}, "never coded before"),
    ({"from": [-1]}, "where a segment may begin"),
    ({"from": [0, -100]}, "mini GOPs back"),
    ({"from": [2, -21]}, "kept at once"),
    ({"from": "0"}, "a list of them"),
    ({"quality": "high"}, "not a number within"),
    ({"quality": float("nan")}, "not a number within"),
    ({"layer": 3}, "not within 0..2"),
    ({"weight": 1}, "give exactly"),
]


@pytest.mark.parametrize("change,message", BROKEN)
def test_what_no_codec_could_follow_is_refused_with_the_reason(change, message) -> None:
    data = {**CUSTOM, "frames": [*CUSTOM["frames"][:2], {**CUSTOM["frames"][2], **change}]}
    with pytest.raises(UsageError, match=message):
        parse("own", data)


def test_other_nonsense_is_refused(tmp_path) -> None:
    backwards = {**CUSTOM, "moving": CUSTOM["frames"]}
    short = {**CUSTOM, "moving": [{"show": 1, "from": [0], "quality": 0, "layer": 0}]}
    for data in (backwards, short, None, [], {"frames": []}):
        with pytest.raises(UsageError, match="structure 'own'"):
            parse("own", data)
    for data in ({"intra": {"quality": 101}, "frames": []}, {"intra": {"quality": 0}, "frames": {}}):
        with pytest.raises(UsageError, match="structure 'own'"):
            parse("own", data)
    for rise in ({"every": 0, "most": 1}, {"every": 8.5, "most": 1}, {"every": 8}, {"every": 8, "most": "3"}, 3):
        with pytest.raises(UsageError, match="rise"):
            parse("own", {**CUSTOM, "rise": rise})
    (tmp_path / "own.json").write_text("{")
    for name in ("random", tmp_path / "own.json", tmp_path / "none.json"):
        with pytest.raises(UsageError, match="low-delay|JSON file"):
            load(name)
    with pytest.raises(UsageError, match="intra period"):
        list(schedule(load("intra"), [1], 0))
    with pytest.raises(UsageError, match="at most 64"):
        Structure("long", 0, load("low-delay").frames * 17)


def test_frames_that_come_twice_or_never_are_a_corrupt_stream() -> None:
    reorder = Reorder(2, 5)
    assert reorder.push(6, "b") == [] and reorder.push(5, "a") == ["a", "b"]
    for number in (5, 6):
        with pytest.raises(CorruptStreamError, match="twice"):
            reorder.push(number, "c")
    assert reorder.push(8, "d") == reorder.push(9, "e") == []
    with pytest.raises(CorruptStreamError, match="frame 7 is missing"):
        reorder.close()
    with pytest.raises(CorruptStreamError, match="frame 7 is missing"):
        reorder.push(10, "f")


@pytest.mark.parametrize("name", names())
def test_frames_go_side_by_side_where_one_does_not_wait_for_the_one_before_it(name: str) -> None:
    assert load(name).parallel == (name not in ("low-delay", "stem"))
