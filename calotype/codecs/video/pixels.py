"""PyAV's frames to 8-bit planes of 4:2:0, or 4:4:4, upright, with exact rounding (FFmpeg's own scaler would dither)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UsageError
from ..header import Colour
from ..y4m import Planes, plane_shapes
from . import colour as conversion
from .source import ASSUMED_COLOUR, RGB_AS_YUV, rgb_note

_PLANAR = ("yuv4", "yuvj4", "yuva4", "gray")  # how the names of formats start whose planes are read as they are
# codes of ITU-T H.273 -> our matrix, and what is lost
_MATRICES = {
    1: ("bt709", ""),
    4: ("bt601", "FCC is taken as BT.601"),
    5: ("bt601", ""),
    6: ("bt601", ""),
    7: ("bt709", "SMPTE 240M is taken as BT.709"),
    9: ("bt2020", ""),
    10: ("bt2020", "BT.2020 of constant luminance is taken as that of non-constant"),
}
_UNTAGGED, _FULL, _LIMITED = 2, 2, 1
_HDR = {16: "PQ", 18: "HLG"}


@dataclass(frozen=True)
class Orientation:
    """How stored frames become upright: swapped rows and columns first, then flipped."""

    swap: bool = False
    flip_rows: bool = False
    flip_columns: bool = False


# ---- what a frame says


def is_rgb(frame: Any) -> bool:
    """Whether the samples are no Y, U, V (or grey)."""
    form = frame.format
    return form.is_rgb or form.has_palette or form.is_bit_stream or form.name.startswith("xyz")


def colour_of(frame: Any, primaries: int | None, transfer: int | None, notes: list[str], full: bool = False) -> Colour:
    """The colour of the planes of a source whose first frame this is; adds to the notes. full: keep 4:4:4, and RGB as such.
    Raises UsageError."""
    if transfer in _HDR:
        notes.append(f"it is HDR ({_HDR[transfer]}) and stays so: 8 bits of it may show bands")
    _note_samples(frame, notes, full)
    if is_rgb(frame):
        return RGB_AS_YUV if full else ASSUMED_COLOUR
    grey = frame.format.name.startswith(("gray", "ya"))
    matrix, tagged = int(frame.colorspace), int(frame.color_range)
    if matrix not in _MATRICES and matrix not in (0, _UNTAGGED) or matrix == 0 and not grey:
        raise UsageError(f"its colour matrix (code {matrix} of H.273) is not supported; convert it to BT.709 first")
    name, lost = _MATRICES.get(matrix, ("bt709", ""))
    wide = tagged == _FULL or frame.format.name.startswith("yuvj") or (grey and tagged != _LIMITED)
    if lost:
        notes.append(lost)
    if matrix == _UNTAGGED and not grey:
        notes.append(f"its colour matrix is not tagged: BT.709, {'full' if wide else 'limited'} range, is assumed")
    return Colour(name, "full" if wide else "limited", "444" if full and _chroma(frame) == (1, 1) else "420", 8)


def _note_samples(frame: Any, notes: list[str], full: bool) -> None:
    form = frame.format
    bits = max(component.bits for component in form.components)
    if form.has_palette or any(component.is_alpha for component in form.components):
        notes.append("transparency is dropped")
    if is_rgb(frame):
        notes.append(rgb_note(full))
    elif _chroma(frame) not in ((2, 2), (0, 0), (1, 1) if full else (2, 2)):
        notes.append(f"its {form.name} frames are converted to 4:2:0")
    if bits > 8:
        notes.append(f"samples of {bits} bits are reduced to 8, rounded")


def _chroma(frame: Any) -> tuple[int, int]:
    """Rows and columns of luma for one of chroma; 0, 0 for grey."""
    components = [component for component in frame.format.components if component.is_chroma or component.index]
    components = [component for component in components if not component.is_alpha]
    if not components:
        return 0, 0
    return _factor(frame.height, components[0].height), _factor(frame.width, components[0].width)


def _factor(whole: int, part: int) -> int:
    return next(factor for factor in (1, 2, 4, 8) if -(-whole // factor) <= part)


def orientation_of(frame: Any, notes: list[str]) -> Orientation:
    """From the display matrix: x' = a x + c y, y' = b x + d y, in 16.16 fixed point."""
    data = next((bytes(side) for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), b"")
    if len(data) != 36:
        return Orientation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(data, "=i4")[:5])
    if not (b or c) and a and d:
        found = Orientation(False, d < 0, a < 0)
    elif not (a or d) and b and c:
        found = Orientation(True, b < 0, c < 0)
    else:
        notes.append("it asks to be turned by an angle that is no right one: left as stored")
        return Orientation()
    if found != Orientation():
        notes.append("turned upright as its display matrix says")
    return found


# ---- samples


def planes_of(frame: Any, colour: Colour, orientation: Orientation) -> Planes:
    """Y, U, V uint8 of `y4m.plane_shapes`, copies, as shown."""
    if is_rgb(frame):
        planes = conversion.to_planes(_rgb(frame), colour)
    else:
        planes = _yuv(frame, colour.range == "full", colour.chroma)
    return planes if orientation == Orientation() else _turned(planes, orientation, colour.chroma)


def _rgb(frame: Any) -> np.ndarray:
    if max(component.bits for component in frame.format.components) <= 8:
        return frame.to_ndarray(format="rgb24")
    deep = frame.to_ndarray(format="rgb48le")
    return ((deep.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _yuv(frame: Any, full: bool, chroma: str) -> Planes:
    bits = frame.format.components[0].bits
    rows, columns = _chroma(frame)
    if not frame.format.name.startswith(_PLANAR) or bits > 16:
        frame = _repacked(frame, bits, rows, columns)
        bits = frame.format.components[0].bits
    shapes = plane_shapes(frame.width, frame.height, chroma)
    luma = _reduced(_plane(frame, 0, *shapes[0]), 0, bits, full, False)
    if not rows:
        return luma, np.full(shapes[1], 128, np.uint8), np.full(shapes[2], 128, np.uint8)
    size = -(-frame.height // rows), -(-frame.width // columns)
    found = []
    for index in (1, 2):
        plane, halvings = _plane(frame, index, *size), 0
        if chroma == "420":
            plane, halvings = _halved(plane, rows == 1, columns == 1)
        if rows > 2 or columns > 2:
            plane = plane.repeat(max(rows // 2, 1), 0).repeat(max(columns // 2, 1), 1)[: shapes[1][0], : shapes[1][1]]
        found.append(_reduced(plane, halvings, bits, full, True))
    return luma, found[0], found[1]


def _repacked(frame: Any, bits: int, rows: int, columns: int) -> Any:
    """The same samples in planes of their own."""
    form = {(0, 0): "gray", (1, 1): "yuv444p", (1, 2): "yuv422p", (2, 2): "yuv420p", (1, 4): "yuv411p"}[rows, columns]
    deep = next(depth for depth in (8, 10, 12, 16) if bits <= depth or depth == 16)
    return frame.reformat(format=form if deep == 8 else f"{form}{deep}le")


def _plane(frame: Any, index: int, rows: int, columns: int) -> np.ndarray:
    plane, deep = frame.planes[index], frame.format.components[0].bits > 8
    lines = np.frombuffer(plane, np.uint8)[: rows * plane.line_size].reshape(rows, plane.line_size)
    if not deep:
        return lines[:, :columns]
    return lines[:, : 2 * columns].view(">u2" if frame.format.is_big_endian else "<u2")


def _halved(plane: np.ndarray, rows: bool, columns: bool) -> tuple[np.ndarray, int]:
    """Sums of pairs along each axis wanted, the last sample repeated, and how many axes."""
    if not rows and not columns:
        return plane, 0
    plane = plane.astype(np.int32)
    if rows:
        plane = np.pad(plane, ((0, plane.shape[0] % 2), (0, 0)), mode="edge")
        plane = plane[::2] + plane[1::2]
    if columns:
        plane = np.pad(plane, ((0, 0), (0, plane.shape[1] % 2)), mode="edge")
        plane = plane[:, ::2] + plane[:, 1::2]
    return plane, rows + columns


def _reduced(total: np.ndarray, halvings: int, bits: int, full: bool, chroma: bool) -> np.ndarray:
    """Sums of 2**halvings samples of so many bits, to 8 bits: the mean in the 8-bit scale, rounded once."""
    if bits == 8 and not halvings:
        return total.copy()
    if bits == 8 or not full:
        shift = halvings + bits - 8
        return np.minimum((total.astype(np.int32) + (1 << (shift - 1))) >> shift, 255).astype(np.uint8)
    over = ((1 << bits) - 1) << halvings
    middle = (1 << (bits - 1) << halvings, 128) if chroma else (0, 0)
    scaled = ((total.astype(np.int64) - middle[0]) * 510 + over) // (2 * over) + middle[1]
    return np.clip(scaled, 0, 255).astype(np.uint8)


# ---- turning


def _turned(planes: Planes, orientation: Orientation, of: str) -> Planes:
    luma = planes[0]
    turned = _turn(luma, orientation)
    odd = of == "420" and (turned.shape[0] % 2 and orientation.flip_rows or turned.shape[1] % 2 and orientation.flip_columns)
    chroma = []
    for plane in planes[1:]:
        if odd:  # the 2 x 2 blocks do not fall on one another: by way of full resolution
            plane = _turn(plane.repeat(2, 0).repeat(2, 1)[: luma.shape[0], : luma.shape[1]], orientation)
            chroma.append(_reduced(*_halved(plane, True, True), 8, False, True))
        else:
            chroma.append(_turn(plane, orientation))
    return turned, chroma[0], chroma[1]


def _turn(plane: np.ndarray, orientation: Orientation) -> np.ndarray:
    plane = plane.T if orientation.swap else plane
    plane = plane[::-1] if orientation.flip_rows else plane
    return np.ascontiguousarray(plane[:, ::-1] if orientation.flip_columns else plane)
