"""File names by what they hold. No imports, so that a command line can sort its arguments at once."""

from __future__ import annotations

CALO_SUFFIX = ".calo"

# What `write_picture` writes: suffix without its dot -> Pillow's name of the format.
PICTURE_FORMATS = {
    "png": "PNG",
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "webp": "WEBP",
    "avif": "AVIF",
    "tif": "TIFF",
    "tiff": "TIFF",
    "bmp": "BMP",
    "ppm": "PPM",
}

# What counts as a picture when a folder is searched; any other name works where a file itself is named.
PICTURE_SUFFIXES = frozenset(f".{name}" for name in PICTURE_FORMATS) | {
    ".dds",
    ".gif",
    ".ico",
    ".j2k",
    ".jfif",
    ".jp2",
    ".jpe",
    ".jpx",
    ".pbm",
    ".pcx",
    ".pgm",
    ".pnm",
    ".qoi",
    ".sgi",
    ".tga",
}

# What counts as a clip; other names and pipes go by their first bytes (signatures.py), or need to be said to be clips.
MOVIE_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi", ".y4m"}) | {
    ".264",
    ".265",
    ".3gp",
    ".flv",
    ".h264",
    ".h265",
    ".hevc",
    ".ivf",
    ".m2ts",
    ".mpeg",
    ".mpg",
    ".mts",
    ".ogv",
    ".wmv",
}
