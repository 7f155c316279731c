"""YUV 4:2:0 or 4:4:4 to RGB and back in exact integers: decoders convert within their loop, so every machine must get the same
bytes.

Weights are in 16.16 fixed point. Those of Y sum to 2**16 times its scale and those of U and of V to 0, so greys stay grey.
Half-size chroma goes up by repetition and down by the mean of 2 x 2: a picture that goes planes, RGB, planes then loses
nothing but the rounding (and what lies outside RGB).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UsageError
from ..y4m import Planes, plane_shapes

if TYPE_CHECKING:  # its module needs crc32c, which a machine that only trains may lack
    from ..header import Colour

# matrix, range: (offset of Y, then the weights of Y, of V for R, of U and V for G, of U for B)
TO_RGB = {
    ("bt709", "limited"): (16, 76309, 117489, -13975, -34925, 138438),
    ("bt709", "full"): (0, 65536, 103206, -12276, -30679, 121609),
    ("bt601", "limited"): (16, 76309, 104597, -25675, -53279, 132201),
    ("bt601", "full"): (0, 65536, 91881, -22553, -46802, 116130),
    ("bt2020", "limited"): (16, 76309, 110014, -12277, -42626, 140363),
    ("bt2020", "full"): (0, 65536, 96639, -10784, -37444, 123299),
}
# matrix, range: (offset of Y, then the weights of R, G, B for Y, for U, for V)
TO_PLANES = {
    ("bt709", "limited"): (16, 11966, 40254, 4064, -6596, -22188, 28784, 28784, -26145, -2639),
    ("bt709", "full"): (0, 13933, 46871, 4732, -7509, -25259, 32768, 32768, -29763, -3005),
    ("bt601", "limited"): (16, 16829, 33039, 6416, -9714, -19070, 28784, 28784, -24103, -4681),
    ("bt601", "full"): (0, 19595, 38470, 7471, -11058, -21710, 32768, 32768, -27439, -5329),
    ("bt2020", "limited"): (16, 14786, 38160, 3338, -8038, -20746, 28784, 28784, -26469, -2315),
    ("bt2020", "full"): (0, 17216, 44434, 3886, -9151, -23617, 32768, 32768, -30133, -2635),
}


def codable(colour: Colour, chromas: Sequence[str] = ("420",)) -> bool:
    """Whether frames can have that colour, where they can have those chromas."""
    return (colour.matrix, colour.range) in TO_RGB and colour.chroma in chromas and colour.depth == 8


def to_rgb(planes: Planes, colour: Colour) -> np.ndarray:
    """(H, W, 3) uint8 RGB of Y, U, V, uint8, of `y4m.plane_shapes`. Raises UsageError for another colour."""
    from .colour_kernel import planes_to_rgb

    luma, cb, cr = (np.ascontiguousarray(plane) for plane in planes)
    rgb = np.empty((*luma.shape, 3), np.uint8)
    planes_to_rgb(luma, cb, cr, _weights(TO_RGB, colour), int(colour.chroma == "420"), rgb)
    return rgb


def to_planes(rgb: np.ndarray, colour: Colour) -> Planes:
    """The reverse of `to_rgb`, rounded. Raises UsageError for another colour."""
    from .colour_kernel import rgb_to_planes

    luma, cb, cr = (np.empty(shape, np.uint8) for shape in plane_shapes(rgb.shape[1], rgb.shape[0], colour.chroma))
    rgb_to_planes(np.ascontiguousarray(rgb), _weights(TO_PLANES, colour), int(colour.chroma == "420"), luma, cb, cr)
    return luma, cb, cr


def _weights(table: dict[tuple[str, str], tuple[int, ...]], colour: Colour) -> np.ndarray:
    if not codable(colour, ("420", "444")):
        raise UsageError(
            f"{colour} is no colour of these frames: use 8-bit 4:2:0 or 4:4:4 with the matrix bt709, bt601 or bt2020"
        )
    return np.array(table[colour.matrix, colour.range], np.int64)
