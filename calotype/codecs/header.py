"""The header of a .calo file: what the file says it is, in some 45 bytes. Its layout is specified in docs/FORMAT.md.

A header is parsed in three steps, each of which may refuse it: syntax (every read is bounds-checked), then the CRC-32C,
then the meaning of each field and the limits. So a damaged byte is reported as damage, not as a strange picture size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import NamedTuple

from crc32c import crc32c

from calotype.codecs import signatures
from calotype.codecs.limits import Limits
from calotype.errors import CorruptStreamError, UsageError

MAGIC = b"CALO"
VERSION = 1
MAX_NAME = 32
MODEL_HASH_BYTES = 8
CRC_BYTES = 4

MEDIA = ("image", "video")
RANGES = ("full", "limited")
CHROMAS = ("400", "420", "422", "444")  # position = chroma_format_idc of ITU-T H.264 / H.265
MATRICES = {"rgb": 0, "bt709": 1, "bt601": 6, "ycgco": 8, "bt2020": 9}  # MatrixCoefficients of ITU-T H.273
DEPTHS = (8, 10, 12, 16)
_MATRIX_NAMES = {code: name for name, code in MATRICES.items()}
_NAME = re.compile(r"[a-z0-9._-]{1,32}", re.ASCII)
_U32 = 2**32 - 1
FRAMES_UNKNOWN = _U32  # a video's `frames` where its header was written before the last frame came


class UnsupportedError(CorruptStreamError):
    """The stream is whole, but needs something that this version of Calotype does not know (exit code 3)."""


class CutError(CorruptStreamError):
    """The bytes end too early; more of them may put it right (exit code 3)."""


class Param(NamedTuple):
    """A registered coding parameter: its one-byte key, the inclusive range of its value, and what it means."""

    key: int
    low: int
    high: int
    meaning: str


# Keys 0x01-0x7F change decoding (a reader that does not know one must refuse); 0x80-0xFF only inform (skipped).
# A key is never given a second meaning. docs/FORMAT.md repeats this table and a test holds the two together.
FIRST_ANCILLARY_KEY = 0x80
PARAMS: dict[str, Param] = {
    "quality_deci": Param(0x01, 0, 1000, "quality dial in tenths"),
    "tile_width": Param(0x02, 1, _U32, "width of a full tile, pixels"),
    "tile_height": Param(0x03, 1, _U32, "height of a full tile, pixels"),
    "tile_overlap": Param(0x04, 1, 65535, "pixels that neighbouring tiles share"),
    "pad": Param(0x05, 1, 65535, "each tile is padded to a multiple of this, then cropped"),
    "realism": Param(0x06, 0, 100, "realism that a generative picture is decoded with, percent; absent: 100"),
    "scale": Param(0x07, 2, 16, "the picture is coded at 1 / scale of its size; absent: 1"),
    "primaries": Param(0x80, 0, 255, "ColourPrimaries of ITU-T H.273"),
    "transfer": Param(0x81, 0, 255, "TransferCharacteristics of ITU-T H.273"),
    "ticks_num": Param(0x82, 1, _U32, "ticks per second, numerator; absent: a tick is one frame at the rate"),
    "ticks_den": Param(0x83, 1, _U32, "ticks per second, denominator; absent: 1"),
}
_PARAM_NAMES = {param.key: name for name, param in PARAMS.items()}


@dataclass(frozen=True)
class Colour:
    """How the decoded samples are to be read. matrix: a key of MATRICES; range: "full" or "limited"; chroma: "400",
    "420", "422" or "444"; depth: bits per sample, 8, 10, 12 or 16. The default is 8-bit RGB."""

    matrix: str = "rgb"
    range: str = "full"
    chroma: str = "444"
    depth: int = 8


@dataclass(frozen=True, kw_only=True)
class Header:
    """All that a reader must know before the first chunk.

    media: "image" or "video". codec, model: registered names, 1 to 32 of [a-z0-9._-]. model_hash: the first 8 bytes of
    the SHA-256 of the model's canonical weights and tables. width, height: pixels of the picture, without padding.
    frames, rate: for a video the number of frames (from 1, or FRAMES_UNKNOWN) and frames per second as a fraction in
    lowest terms; 1 and (0, 1) for an image. params: names and values of PARAMS.
    """

    media: str
    codec: str
    model: str
    model_hash: bytes
    width: int
    height: int
    frames: int = 1
    rate: tuple[int, int] = (0, 1)
    colour: Colour = field(default_factory=Colour)
    params: Mapping[str, int] = field(default_factory=dict)
    version: int = VERSION

    @property
    def picture_bytes(self) -> int:
        """Bytes of one decoded picture: the samples of all its planes, one byte each, or two above 8 bits."""
        chroma_w = self.width if self.colour.chroma == "444" else (self.width + 1) // 2
        chroma_h = (self.height + 1) // 2 if self.colour.chroma == "420" else self.height
        chroma = 0 if self.colour.chroma == "400" else 2 * chroma_w * chroma_h
        return (self.width * self.height + chroma) * (1 if self.colour.depth <= 8 else 2)


# ---- numbers

def encode_varint(value: int) -> bytes:
    """`value` >= 0 as LEB128: seven bits a byte, least significant first, bit 7 set on all bytes but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(view: memoryview, at: int, bits: int) -> tuple[int, int]:
    """The varint at offset `at`, and the offset after it. At most ceil(bits / 7) bytes are read.

    Raises CorruptStreamError when the bytes end inside it, it is not in its shortest form, or is over `bits` bits.
    """
    value = 0
    for i in range((bits + 6) // 7):
        byte = _byte(view, at + i)
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if i and not byte:
                raise CorruptStreamError(f"the number at byte {at} is not in its shortest form: the file is damaged")
            break
    else:
        raise CorruptStreamError(f"the number at byte {at} does not end: the file is damaged")
    if value >> bits:
        raise CorruptStreamError(f"the number at byte {at} is over {bits} bits: the file is damaged")
    return value, at + i + 1


def _byte(view: memoryview, at: int) -> int:
    return _take(view, at, 1)[0]


def _take(view: memoryview, at: int, size: int) -> memoryview:
    if at + size > len(view):
        raise CutError(f"the file was cut short: it ends after {len(view)} bytes; get it again")
    return view[at : at + size]


# ---- names: ASCII, bit 7 set on the last character (so there is no length byte, and no empty name)

def _encode_name(name: str) -> bytes:
    raw = name.encode("ascii")
    return raw[:-1] + bytes([raw[-1] | 0x80])


def _decode_name(view: memoryview, at: int) -> tuple[str, int]:
    raw = bytearray()
    while len(raw) < MAX_NAME:
        byte = _byte(view, at + len(raw))
        raw.append(byte & 0x7F)
        if byte & 0x80:
            name = raw.decode("ascii")
            if _NAME.fullmatch(name):
                return name, at + len(raw)
            break
    raise CorruptStreamError(f"there is no codec or model name at byte {at}: the file is damaged; get it again")


# ---- writing

def encode_header(header: Header) -> bytes:
    """The header's bytes, from the magic to its CRC-32C. Raises UsageError when a field is out of its range."""
    fault = _fault(header)
    if fault:
        raise UsageError(f"cannot write this header: {fault}")
    colour = header.colour
    form = MEDIA.index(header.media) << 7 | RANGES.index(colour.range) << 6 | CHROMAS.index(colour.chroma) << 4
    numbers = [header.width, header.height]
    if header.media == "video":
        numbers += [header.frames, *header.rate]
    out = bytearray(MAGIC)
    out += bytes([header.version, form | (colour.depth - 1), MATRICES[colour.matrix]])
    out += _encode_name(header.codec) + _encode_name(header.model) + header.model_hash
    out += b"".join(map(encode_varint, numbers))
    out.append(len(header.params))
    for name in sorted(header.params, key=lambda name: PARAMS[name].key):
        out.append(PARAMS[name].key)
        out += encode_varint(header.params[name])
    return bytes(out) + crc32c(out).to_bytes(CRC_BYTES, "little")


def _fault(header: Header) -> str | None:
    """What is wrong with the header's values, in words; None when nothing is."""
    if header.version != VERSION:
        return f"version is {header.version}, not {VERSION}"
    if header.media not in MEDIA:
        return f"media is {header.media!r}, not one of {', '.join(MEDIA)}"
    for what, name in (("codec", header.codec), ("model", header.model)):
        if not _NAME.fullmatch(name):
            return f"the {what} name {name!r} is not 1 to {MAX_NAME} of [a-z0-9._-]"
    if not isinstance(header.model_hash, bytes) or len(header.model_hash) != MODEL_HASH_BYTES:
        return f"model_hash is not {MODEL_HASH_BYTES} bytes"
    num, den = header.rate
    numbers = {"width": header.width, "height": header.height, "frames": header.frames}
    if header.media == "video":
        numbers |= {"rate numerator": num, "rate denominator": den}
    elif (header.frames, num, den) != (1, 0, 1):
        return "an image has frames=1 and rate=(0, 1)"
    for what, number in numbers.items():
        if not isinstance(number, Integral) or not 1 <= number <= _U32:
            return f"{what} is {number}, not 1 to {_U32}"
    if header.media == "video" and math.gcd(num, den) != 1:
        return f"the rate {num}/{den} is not in lowest terms"
    return _colour_fault(header.colour) or _param_fault(header.params)


def _colour_fault(colour: Colour) -> str | None:
    for what, value, allowed in (
        ("matrix", colour.matrix, MATRICES),
        ("range", colour.range, RANGES),
        ("chroma", colour.chroma, CHROMAS),
        ("depth", colour.depth, DEPTHS),
    ):
        if value not in allowed:
            return f"the colour {what} is {value!r}, not one of {', '.join(map(str, allowed))}"
    if colour.matrix == "rgb" and colour.chroma in ("420", "422"):
        return f"RGB has no subsampled chroma, but chroma is {colour.chroma}"
    return None


def _param_fault(params: Mapping[str, int]) -> str | None:
    for name, value in params.items():
        if name not in PARAMS:
            return f"there is no parameter {name!r}; the names are {', '.join(PARAMS)}"
        if not isinstance(value, Integral) or not PARAMS[name].low <= value <= PARAMS[name].high:
            return f"{name} is {value}, not {PARAMS[name].low} to {PARAMS[name].high}"
    return None


# ---- reading

def decode_header(view: memoryview, limits: Limits) -> tuple[Header, int]:
    """The header at the start of `view` (one-dimensional, bytes), and the offset after its CRC-32C.

    Raises CorruptStreamError (not a .calo file, cut, damaged), UnsupportedError (made by a newer version), LimitError.
    """
    check_magic(view)
    form, matrix, at = _byte(view, 5), _byte(view, 6), 7
    codec, at = _decode_name(view, at)
    model, at = _decode_name(view, at)
    model_hash, at = bytes(_take(view, at, MODEL_HASH_BYTES)), at + MODEL_HASH_BYTES
    media = MEDIA[form >> 7]
    numbers = []
    for _ in range(5 if media == "video" else 2):
        number, at = decode_varint(view, at, 32)
        numbers.append(number)
    pairs, at = _decode_params(view, at)
    if crc32c(view[:at]) != int.from_bytes(_take(view, at, CRC_BYTES), "little"):
        raise CorruptStreamError("the header's checksum is wrong: the file is damaged; get it again")
    width, height, frames, num, den = numbers if media == "video" else [*numbers, 1, 0, 1]
    header = Header(
        media=media,
        codec=codec,
        model=model,
        model_hash=model_hash,
        width=width,
        height=height,
        frames=frames,
        rate=(num, den),
        colour=Colour(_matrix_name(matrix), RANGES[form >> 6 & 1], CHROMAS[form >> 4 & 3], (form & 15) + 1),
        params=_name_params(pairs),
    )
    fault = _fault(header)
    if fault:
        raise CorruptStreamError(f"the header makes no sense ({fault}): the program that wrote this file is at fault")
    limits.check_picture(width, height, header.picture_bytes)
    return header, at + CRC_BYTES


def _decode_params(view: memoryview, at: int) -> tuple[list[tuple[int, int]], int]:
    """(key, value) pairs with keys strictly ascending, and the offset after them."""
    count, at = _byte(view, at), at + 1
    pairs: list[tuple[int, int]] = []
    last = 0
    for _ in range(count):
        key = _byte(view, at)
        if key <= last:
            raise CorruptStreamError("the header's parameters are not in order: the file is damaged; get it again")
        value, at = decode_varint(view, at + 1, 64)
        pairs.append((key, value))
        last = key
    return pairs, at


def _name_params(pairs: list[tuple[int, int]]) -> dict[str, int]:
    params = {}
    for key, value in pairs:
        if key in _PARAM_NAMES:
            params[_PARAM_NAMES[key]] = value
        elif key < FIRST_ANCILLARY_KEY:
            raise UnsupportedError(f"this Calotype does not know this file's parameter {key}; use a newer version")
    return params


def _matrix_name(code: int) -> str:
    if code not in _MATRIX_NAMES:
        raise UnsupportedError(f"this Calotype does not know this file's colour matrix {code}; use a newer version")
    return _MATRIX_NAMES[code]


# ---- is it ours at all

def check_magic(view: memoryview) -> None:
    """Raise CorruptStreamError, saying what the bytes look like, unless they start as a .calo file of this version."""
    if not view:
        raise CorruptStreamError("this is not a .calo file: it is empty; get it again")
    start = bytes(view[:16])
    if start[:4] != MAGIC:
        if MAGIC.startswith(start):
            raise CorruptStreamError(f"this .calo file was cut short after {len(start)} bytes; get it again")
        raise CorruptStreamError(
            f"this is not a .calo file (it starts with {signatures.describe(start)}); "
            "give a file that `calotype encode` made"
        )
    version = _byte(view, 4)
    if version != VERSION:
        raise UnsupportedError(
            f"this file is .calo version {version} and this Calotype reads version {VERSION}: "
            + ("use a newer Calotype, or get the file again" if version > VERSION else "it is damaged; get it again")
        )
