"""What a file that is not ours looks like: so that the error can say so, and a clip can be told from a picture."""

from __future__ import annotations

_SIGNATURES = (
    (0, b"\x89PNG", "a PNG signature"),
    (0, b"\xff\xd8\xff", "a JPEG signature"),
    (8, b"WEBP", "a WebP signature"),
    (0, b"GIF8", "a GIF signature"),
    (0, b"BM", "a BMP signature"),
    (0, b"II*\0", "a TIFF signature"),
    (0, b"MM\0*", "a TIFF signature"),
    (4, b"ftypavif", "an AVIF signature"),
    (4, b"ftyphei", "a HEIC signature"),
    (4, b"ftyp", "an MP4 or other ISO media signature"),
    (0, b"\xff\x0a", "a JPEG XL signature"),
    (4, b"JXL ", "a JPEG XL signature"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM signature"),
    (0, b"YUV4MPEG2", "a y4m signature"),
    (0, b"%PDF", "a PDF signature"),
    (0, b"PK\x03\x04", "a ZIP signature"),
    (0, b"\x1f\x8b", "a gzip signature"),
    (0, b"<", "a tag, as a web page does"),
)

_CLIPS = (
    (0, b"YUV4MPEG2"),
    (4, b"ftyp"),
    (0, b"\x1aE\xdf\xa3"),  # Matroska, WebM
    (8, b"AVI "),
    (0, b"FLV\1"),
    (0, b"DKIF"),  # IVF
    (0, b"\0\0\0\1"),  # H.264, H.265
    (0, b"\0\0\1\xba"),  # MPEG
)
_STILL = (b"avif", b"avis", b"hei", b"hev", b"mif1", b"msf1")  # brands of ISO media files that are pictures
CLIP_HEAD = 12  # bytes that tell


def is_clip(start: bytes) -> bool:
    """Whether a file whose first CLIP_HEAD bytes are `start` is a clip; False where they do not tell."""
    if start.startswith(b"ftyp", 4) and start.startswith(_STILL, 8):
        return False
    return any(start.startswith(signature, offset) for offset, signature in _CLIPS)


def describe(start: bytes) -> str:
    """What a file whose first 16 bytes are `start` begins with, in words."""
    for offset, signature, name in _SIGNATURES:
        if start.startswith(signature, offset):
            return name
    return f"the bytes {start[:4].hex(' ')}"
