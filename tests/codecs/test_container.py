"""The .calo container: round trips, and typed errors for what is damaged, cut, foreign, excessive or not canonical."""

from __future__ import annotations

import array
import math
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calotype.codecs import container, header
from calotype.codecs.container import END, ICC, TILE, Chunk, Colour, Header, Limits, UnsupportedError
from calotype.errors import CalotypeError, CorruptStreamError, LimitError, UsageError

FORMAT_MD = Path(__file__).parents[2] / "docs" / "FORMAT.md"
HASH = bytes.fromhex("0123456789abcdef")
PICTURE = Header(
    media="image",
    codec="image",
    model="s.1",
    model_hash=HASH,
    width=768,
    height=512,
    params={"quality_deci": 625},
)
CLIP = replace(
    PICTURE,
    media="video",
    codec="video",
    frames=97,
    rate=(30000, 1001),
    colour=Colour("bt709", "limited", "420", 10),
    params={"transfer": 1},
)
OPEN = Limits(2**32, 2**32, 2**64, 2**80, 2**32)  # no limit that a header can meet
SMALL = {
    "picture": container.write(PICTURE, [Chunk(TILE, b"\x11\x22\x33\x44stream")]),
    "tiled": container.write(
        replace(PICTURE, params={"quality_deci": 0, "tile_width": 512, "tile_height": 512, "pad": 64}),
        [Chunk(ICC, b"profile"), Chunk(TILE, b"left"), Chunk(b"note", b"skip me"), Chunk(TILE, b"rght")],
    ),
    "clip": container.write(CLIP, [Chunk(b"Intr", bytes(range(200))), Chunk(b"Pred", b"")]),
}


def crafted_header(body: bytes) -> bytes:
    """A header with a right CRC around any body (all that lies between the magic and the CRC)."""
    raw = b"CALO" + body
    return raw + crc32c(raw).to_bytes(4, "little")


def crafted_file(head: bytes, frames: list[bytes]) -> bytes:
    """A file with right CRCs around any header bytes and any kind + length + payload bytes, and its end chunk."""
    out, seal = head, crc32c(head[-4:])
    for frame in frames:
        crc = crc32c(frame).to_bytes(4, "little")
        out, seal = out + frame + crc, crc32c(crc, seal)
    return out + b"Fend" + crc32c(b"Fend", seal).to_bytes(4, "little")


# ---- round trips

names = st.from_regex(r"[a-z0-9._-]{1,32}", fullmatch=True)
u32 = st.integers(1, 2**32 - 1)
colours = st.builds(
    Colour,
    st.sampled_from(sorted(header.MATRICES)),
    st.sampled_from(header.RANGES),
    st.sampled_from(header.CHROMAS),
    st.sampled_from(header.DEPTHS),
).filter(lambda colour: colour.matrix != "rgb" or colour.chroma in ("400", "444"))
params = st.fixed_dictionaries(
    {}, optional={name: st.integers(param.low, param.high) for name, param in header.PARAMS.items()}
)
rates = st.tuples(u32, u32).map(lambda pair: tuple(number // math.gcd(*pair) for number in pair))


@st.composite
def headers(draw: st.DrawFn) -> Header:
    media = draw(st.sampled_from(header.MEDIA))
    moving = {"frames": draw(u32), "rate": draw(rates)} if media == "video" else {}
    return Header(
        media=media,
        codec=draw(names),
        model=draw(names),
        model_hash=draw(st.binary(min_size=8, max_size=8)),
        width=draw(u32),
        height=draw(u32),
        colour=draw(colours),
        params=draw(params),
        **moving,
    )


kinds = st.from_regex(rb"[A-Za-z]{4}", fullmatch=True).filter(lambda kind: kind not in (END, ICC))
chunk_lists = st.lists(st.builds(Chunk, kinds, st.binary(max_size=300)), max_size=8)
thorough = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(headers(), chunk_lists, st.none() | st.binary(min_size=1, max_size=40))
def test_what_is_written_is_read_back(head: Header, chunks: list[Chunk], icc: bytes | None) -> None:
    chunks = ([Chunk(ICC, icc)] if icc else []) + chunks
    data = container.write(head, chunks)
    back = container.read(data, OPEN)
    assert back.header == head
    assert back.chunks == tuple(chunks)
    assert not back.truncated and back.damage == ""
    assert container.read_header(data, OPEN) == head
    assert container.write(back.header, back.chunks) == data


@thorough
@given(st.integers(0, 2**64 - 1))
def test_varints_round_trip_in_at_most_10_bytes(value: int) -> None:
    raw = header.encode_varint(value)
    assert len(raw) <= 10
    assert header.decode_varint(memoryview(raw + b"\xff"), 0, 64) == (value, len(raw))


def test_the_pieces_joined_are_the_file_and_come_before_the_next_chunk_is_asked_for() -> None:
    asked = []

    def chunks():
        for i in range(3):
            asked.append(i)
            yield Chunk(TILE, bytes([i]))

    pieces = container.parts(PICTURE, chunks())
    first = [next(pieces) for _ in range(4)]
    assert asked == [0]
    assert b"".join(first) + b"".join(pieces) == container.write(PICTURE, [Chunk(TILE, bytes([i])) for i in range(3)])


def test_payloads_are_views_and_reading_copies_nothing() -> None:
    payload = bytes(8 * 2**20)
    data = container.write(PICTURE, [Chunk(TILE, payload)])
    tracemalloc.start()
    back = container.read(memoryview(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    view = back.chunks[0].payload
    assert isinstance(view, memoryview) and view.readonly and view.obj is data
    assert back.payloads(TILE) == [payload] and back.payloads(b"none") == []
    assert peak < 64 * 1024


def test_chunks_can_be_moved_to_another_file_as_they_are() -> None:
    """Concatenation: header and end chunk are new, the bytes of the chunks between them are not."""
    one, two = [Chunk(b"Intr", b"first")], [Chunk(b"Intr", b"second")]
    head = header.encode_header(CLIP)
    middle = b"".join(container.write(CLIP, part)[len(head) : -8] for part in (one, two))
    assert container.write(CLIP, one + two)[len(head) : -8] == middle


def test_one_picture_in_one_tile_costs_at_most_72_bytes_around_its_stream() -> None:
    stream = bytes(30_000)
    tile = container.symbol_hash([b""]) + stream
    head = replace(PICTURE, params={"quality_deci": 1000})
    assert len(container.write(head, [Chunk(TILE, tile)])) - len(stream) == 58
    head = replace(head, params=dict(head.params, tile_width=1024, tile_height=1024))
    assert len(container.write(head, [Chunk(TILE, tile)])) - len(stream) == 64


# ---- damage

@pytest.mark.parametrize("name", SMALL)
def test_every_prefix_is_refused(name: str) -> None:
    for length in range(len(SMALL[name])):
        with pytest.raises(CorruptStreamError):
            container.read(SMALL[name][:length])


@pytest.mark.parametrize("name", SMALL)
def test_every_single_bit_flip_is_refused(name: str) -> None:
    for bit in range(8 * len(SMALL[name])):
        damaged = bytearray(SMALL[name])
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptStreamError):
            container.read(damaged)


@pytest.mark.parametrize("name", SMALL)
def test_partial_reading_gives_the_chunks_before_the_damage_and_never_an_altered_one(name: str) -> None:
    whole = container.read(SMALL[name])
    head = len(header.encode_header(whole.header))
    ends = [head]
    for chunk in whole.chunks:
        ends.append(ends[-1] + 4 + len(header.encode_varint(len(chunk.payload))) + len(chunk.payload) + 4)
    variants = [(length, SMALL[name][:length]) for length in range(len(SMALL[name]))]
    for bit in range(8 * len(SMALL[name])):
        damaged = bytearray(SMALL[name])
        damaged[bit // 8] ^= 1 << bit % 8
        variants.append((bit // 8, bytes(damaged)))
    for at, data in variants:
        if at < head:
            with pytest.raises(CorruptStreamError):
                container.read(data, allow_partial=True)
            continue
        part = container.read(data, allow_partial=True)
        intact = sum(end <= at for end in ends[1:])
        assert part.truncated and part.damage
        assert part.header == whole.header and part.chunks == whole.chunks[:intact]


def test_a_whole_file_is_not_called_truncated() -> None:
    assert all(not container.read(data, allow_partial=True).truncated for data in SMALL.values())


def test_every_splice_of_two_files_is_refused() -> None:
    """Also two files of one header, one length and one chunk layout, cut exactly between chunks."""
    one = container.write(PICTURE, [Chunk(TILE, b"aaaa"), Chunk(TILE, b"bbbb")])
    two = container.write(PICTURE, [Chunk(TILE, b"cccc"), Chunk(TILE, b"dddd")])
    for first, second in [(one, two), (SMALL["picture"], SMALL["tiled"]), (SMALL["tiled"], SMALL["clip"])]:
        for i in range(len(first) + 1):
            for j in range(len(second) + 1):
                data = first[:i] + second[j:]
                if data not in (first, second):
                    with pytest.raises(CorruptStreamError):
                        container.read(data)


def test_lost_repeated_and_moved_chunks_are_noticed() -> None:
    head = header.encode_header(PICTURE)
    data = container.write(PICTURE, [Chunk(TILE, b"aaaa"), Chunk(TILE, b"bbbb")])
    size = (len(data) - len(head) - 8) // 2
    a, b, end = data[len(head) : len(head) + size], data[len(head) + size : -8], data[-8:]
    assert container.read(head + a + b + end)
    for middle in (a, b, b + a, a + a, b + b, a + b + b, b""):
        with pytest.raises(CorruptStreamError, match="missing, moved"):
            container.read(head + middle + end)


def test_a_header_that_was_exchanged_is_noticed_though_every_single_checksum_is_right() -> None:
    other = header.encode_header(replace(PICTURE, width=767))
    data = SMALL["picture"]
    with pytest.raises(CorruptStreamError, match="closing checksum"):
        container.read(other + data[len(header.encode_header(PICTURE)) :])


def test_trailing_bytes_are_refused() -> None:
    for tail in (b"\0", SMALL["picture"]):
        with pytest.raises(CorruptStreamError, match="follow"):
            container.read(SMALL["picture"] + tail)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([0, 4, 5, 7, 40, 46]))
def test_random_bytes_give_a_typed_error(noise: bytes, kept: int) -> None:
    for allow_partial in (False, True):
        try:
            back = container.read(SMALL["picture"][:kept] + noise, allow_partial=allow_partial)
        except (CorruptStreamError, LimitError):
            continue
        assert allow_partial and back.truncated and back.header == PICTURE


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_random_headers_with_a_right_checksum_give_a_typed_error_or_one_canonical_header(body: bytes) -> None:
    start = b"\x01\x37\x00imag\xe5x\xb1" + HASH
    data = crafted_header(start + body)
    try:
        head, end = header.decode_header(memoryview(data), OPEN)
    except CorruptStreamError:
        return
    _, at = header.decode_varint(memoryview(data), len(b"CALO" + start), 32)
    _, at = header.decode_varint(memoryview(data), at, 32)
    skipped = data[at] - len(head.params)  # unknown ancillary parameters
    assert skipped or header.encode_header(head) == data[:end]


# ---- canonical form

BODY = header.encode_header(replace(PICTURE, params={"quality_deci": 5, "pad": 9}))[4:-4]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"\x80\x06\x80\x04", b"\x80\x86\x00\x80\x04", id="width with a zero byte too many"),
        pytest.param(b"\x02\x01\x05\x05\x09", b"\x02\x01\x85\x00\x05\x09", id="parameter with a zero byte too many"),
        pytest.param(b"\x02\x01\x05\x05\x09", b"\x02\x05\x09\x01\x05", id="parameters in another order"),
        pytest.param(b"\x02\x01\x05\x05\x09", b"\x02\x01\x05\x01\x05", id="parameter twice"),
        pytest.param(b"\x02\x01\x05\x05\x09", b"\x01\x00\x05", id="parameter key 0"),
        pytest.param(b"\x80\x06\x80\x04", b"\xff\xff\xff\xff\x1f\x80\x04", id="width over 32 bits"),
        pytest.param(b"\x80\x06\x80\x04", b"\x80\x80\x80\x80\x80\x01\x80\x04", id="width in six bytes"),
        pytest.param(b"\x80\x06\x80\x04", b"\x00\x80\x04", id="width 0"),
        pytest.param(b"imag\xe5", b"Imag\xe5", id="upper-case codec"),
        pytest.param(b"imag\xe5", b"im/g\xe5", id="slash in the codec"),
        pytest.param(b"imag\xe5", b"i" * 32 + b"\xe5", id="33 letters"),
        pytest.param(b"\x01\x37\x00", b"\x01\x36\x00", id="depth 7"),
        pytest.param(b"\x01\x37\x00", b"\x01\x17\x00", id="RGB 4:2:0"),
        pytest.param(b"\x01\x37\x00", b"\x01\x37\x03", id="unknown matrix"),
    ],
)
def test_other_spellings_of_a_header_are_refused_though_their_checksum_is_right(old: bytes, new: bytes) -> None:
    assert BODY.count(old) == 1
    container.read_header(crafted_header(BODY))
    with pytest.raises(CorruptStreamError) as caught:
        container.read(crafted_file(crafted_header(BODY.replace(old, new)), []))
    assert "checksum" not in str(caught.value)


def test_a_rate_not_in_lowest_terms_is_refused() -> None:
    body = header.encode_header(replace(CLIP, rate=(25, 1)))[4:-4]
    assert container.read_header(crafted_header(body)).rate == (25, 1)
    for rate in (b"\x32\x02", b"\x19\x00", b"\x00\x01"):
        with pytest.raises(CorruptStreamError, match="rate"):
            container.read_header(crafted_header(body.replace(b"\x61\x19\x01", b"\x61" + rate)))


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([b"Tile\x81\x00a"], id="length with a zero byte too many"),
        pytest.param([b"Ti1e\x01a"], id="digit in the kind"),
        pytest.param([b"iccp\x00"], id="empty profile"),
        pytest.param([b"iccp\x01a", b"iccp\x01a"], id="two profiles"),
        pytest.param([b"Tile\x01a", b"iccp\x01a"], id="profile after a tile"),
    ],
)
def test_other_spellings_of_chunks_are_refused_though_their_checksums_are_right(frames: list[bytes]) -> None:
    head = header.encode_header(PICTURE)
    assert crafted_file(head, [b"iccp\x01a", b"Tile\x01a"]) == container.write(
        PICTURE, [Chunk(ICC, b"a"), Chunk(TILE, b"a")]
    )
    with pytest.raises(CorruptStreamError) as caught:
        container.read(crafted_file(head, frames))
    assert "checksum" not in str(caught.value)


# ---- what a reader does not know

def test_an_unknown_critical_chunk_is_refused_and_an_unknown_ancillary_one_is_not() -> None:
    back = container.read(container.write(PICTURE, [Chunk(b"note", b""), Chunk(TILE, b""), Chunk(b"Nova", b"")]))
    back.require_known({TILE, b"Nova"})
    with pytest.raises(UnsupportedError, match="Nova.*newer version"):
        back.require_known({TILE})
    container.read(container.write(PICTURE, [Chunk(b"note", b""), Chunk(TILE, b"")])).require_known([TILE])


def test_an_unknown_critical_parameter_is_refused_and_an_unknown_ancillary_one_is_skipped() -> None:
    body = header.encode_header(replace(PICTURE, params={"quality_deci": 5}))[4:-4]
    assert body.endswith(b"\x01\x01\x05")
    with pytest.raises(UnsupportedError, match="parameter 127"):
        container.read_header(crafted_header(body[:-3] + b"\x02\x01\x05\x7f\x00"))
    longest = b"\xff" * 9 + b"\x01"
    known = container.read_header(crafted_header(body[:-3] + b"\x02\x01\x05\xff" + longest))
    assert known.params == {"quality_deci": 5}


def test_another_version_is_refused() -> None:
    for version in (0, 2, 255):
        with pytest.raises(UnsupportedError, match=f"version {version}"):
            container.read(b"CALO" + bytes([version]) + SMALL["picture"][5:])


# ---- limits

def test_a_40_byte_file_that_claims_65535_x_65535_is_refused_without_memory() -> None:
    head = header.encode_header(
        Header(media="image", codec="image", model="m", model_hash=HASH, width=65535, height=65535)
    )
    data = crafted_file(head, [])
    assert len(data) <= 41
    for claim in (data, data + b"\xff" * (40 - len(data)), head[:40], head):
        tracemalloc.start()
        with pytest.raises((LimitError, CorruptStreamError)) as caught:
            container.read(claim, allow_partial=True)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 * 1024
        assert caught.type is LimitError and "max_width=65535" in str(caught.value)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(max_width=767), "max_width"),
        (Limits(max_height=511), "max_height"),
        (Limits(max_pixels=768 * 512 - 1), "max_pixels"),
        (Limits(max_bytes=3 * 768 * 512 - 1), "max_bytes"),
    ],
)
def test_each_limit_on_the_picture_is_named_with_the_value_that_would_do(limits: Limits, name: str) -> None:
    for allow_partial in (False, True):
        with pytest.raises(LimitError, match=name) as caught:
            container.read(SMALL["picture"], limits, allow_partial)
    needed = int(re.search(rf"{name}=(\d+)$", str(caught.value))[1])
    container.read(SMALL["picture"], replace(limits, **{name: needed}))


def test_the_largest_allowed_picture_passes() -> None:
    container.read(SMALL["picture"], Limits(768, 512, 768 * 512, 3 * 768 * 512, 1))


def test_limits_hold_for_chunks() -> None:
    head = replace(PICTURE, width=1, height=1)
    data = container.write(head, [Chunk(TILE, bytes(9)), Chunk(TILE, bytes(10))])
    container.read(data, Limits(max_bytes=10, max_chunks=2))
    for limits, name in ((Limits(max_bytes=9), "max_bytes"), (Limits(max_chunks=1), "max_chunks")):
        with pytest.raises(LimitError, match=name):
            container.read(data, limits, allow_partial=True)


def test_a_length_beyond_the_file_is_damage_and_allocates_nothing() -> None:
    data = header.encode_header(PICTURE) + b"Tile\xff\xff\xff\xff\x0f" + bytes(50)
    tracemalloc.start()
    with pytest.raises(CorruptStreamError, match="cut short or damaged"):
        container.read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 1024


@pytest.mark.parametrize(
    ("chroma", "depth", "expected"), [("444", 8, 45), ("422", 8, 33), ("420", 8, 27), ("400", 8, 15), ("420", 10, 54)]
)
def test_bytes_of_a_picture_with_odd_sides_count_every_plane(chroma: str, depth: int, expected: int) -> None:
    head = replace(PICTURE, width=5, height=3, colour=Colour("bt709", "full", chroma, depth))
    assert head.picture_bytes == expected


# ---- messages

@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"CA", "cut short"),
        (b"CALO", "cut short"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "JPEG signature"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\0\0\0\x18ftypisom", "MP4"),
        (b"YUV4MPEG2 W1 H1", "y4m"),
        (b"<!DOCTYPE html>", "web page"),
        (b"\x00\x01", "00 01"),
    ],
)
def test_a_foreign_file_is_told_what_it_looks_like(data: bytes, says: str) -> None:
    with pytest.raises(CorruptStreamError, match=says):
        container.read(data, allow_partial=True)


@pytest.mark.parametrize("data", ["text", None, 3, [1, 2], memoryview(b"abcdef")[::2]])
def test_input_that_is_not_bytes_is_a_usage_error(data: object) -> None:
    with pytest.raises(UsageError):
        container.read(data)  # type: ignore[arg-type]


def test_any_contiguous_buffer_is_read() -> None:
    data = SMALL["picture"]
    for kind in (bytes, bytearray, memoryview, lambda raw: array.array("B", raw)):
        assert container.read(kind(data)).header == PICTURE


# ---- what cannot be written

@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"media": "sound"},
        {"codec": ""},
        {"codec": "image\n"},
        {"model": "x" * 33},
        {"model": "\u0133"},
        {"model_hash": b"short"},
        {"width": 0},
        {"width": 1.5},
        {"height": 2**32},
        {"frames": 2},
        {"rate": (25, 1)},
        {"media": "video", "rate": (50, 2)},
        {"media": "video", "rate": (25, 1), "frames": 0},
        {"colour": Colour("rgb", "full", "420", 8)},
        {"colour": Colour("bt709", "full", "420", 9)},
        {"colour": Colour("cmyk", "full", "444", 8)},
        {"params": {"speed": 1}},
        {"params": {"quality_deci": 1001}},
        {"params": {"quality_deci": -1}},
        {"params": {"quality_deci": 0.5}},
    ],
)
def test_a_header_out_of_range_cannot_be_written(change: dict) -> None:
    with pytest.raises(UsageError):
        container.write(replace(PICTURE, **change), [])


@pytest.mark.parametrize(
    "chunks",
    [
        [Chunk(END, b"")],
        [Chunk(b"Til", b"")],
        [Chunk(b"Til1", b"")],
        [Chunk("Tile", b"")],
        [Chunk(TILE, "text")],
        [Chunk(ICC, b"")],
        [Chunk(TILE, b""), Chunk(ICC, b"x")],
    ],
)
def test_a_chunk_that_could_not_be_read_back_cannot_be_written(chunks: list[Chunk]) -> None:
    with pytest.raises(UsageError):
        container.write(PICTURE, chunks)


# ---- promises about the module and the specification

def test_the_container_imports_neither_numpy_nor_torch() -> None:
    code = "import sys, calotype.codecs.container; print([m for m in ('numpy', 'torch', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_in_the_specification_is_what_the_code_writes() -> None:
    dump = re.search(r"<!-- example -->\n```\n(.*?)```", FORMAT_MD.read_text("utf-8"), re.DOTALL)[1]
    data = b"".join(bytes.fromhex(line[6:30]) for line in dump.splitlines())
    expected = container.write(PICTURE, [Chunk(TILE, container.symbol_hash([b"\0\0\0\0"]) + b"\xaa\xbb\xcc\xdd")])
    assert data == expected


def test_the_specification_lists_every_parameter_and_matrix() -> None:
    text = FORMAT_MD.read_text("utf-8")
    for name, param in header.PARAMS.items():
        assert f"| 0x{param.key:02X} | `{name}` | {param.low} to {param.high} |" in text
    for name, code in header.MATRICES.items():
        assert f"| {code} | `{name}` |" in text


def test_the_checksum_is_the_crc_that_the_specification_names() -> None:
    """RFC 3720 check value, and the specification's definition bit by bit on a whole header."""

    def by_definition(data: bytes) -> int:
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        return crc ^ 0xFFFFFFFF

    assert by_definition(b"123456789") == 0xE3069283
    head = header.encode_header(PICTURE)
    assert by_definition(head[:-4]) == int.from_bytes(head[-4:], "little")


def test_every_error_message_says_what_to_do() -> None:
    """Each raised message has a second half after a colon or semicolon: fetch again, use a newer version, allow it."""
    messages = []
    for damaged in (SMALL["picture"][:20], SMALL["picture"][:-3], SMALL["picture"][:-1] + b"\0", b"", b"\x89PNG"):
        with pytest.raises(CalotypeError) as caught:
            container.read(damaged)
        messages.append(str(caught.value))
    assert all(re.search(r"[:;] ?.*(get it again|give a file)", message) for message in messages)
