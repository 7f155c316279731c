"""Pillow reads and writes .calo files once this module is imported.

import calotype.codecs.pillow_plugin
Image.open("photo.calo").show()
picture.save("photo.calo", quality=60)      # or bpp=0.5, size=40_000, psnr=36; model=, device=
"""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image, ImageFile

from . import container, describe
from .header import MAGIC

FORMAT = "CALO"
_OPTIONS = ("quality", "bpp", "size", "psnr", "model", "device", "lossless")


class CaloImageFile(ImageFile.ImageFile):
    """A .calo picture. Opening checks the whole file and its limits; the model is loaded and run by `load`.

    `info` has "icc_profile", where there is one, and "calotype": what `calotype.info` gives. Besides what Pillow
    raises, CorruptStreamError, LimitError and ModelError pass through.
    """

    format = FORMAT
    format_description = "Calotype"

    def _open(self) -> None:
        self._data = self.fp.read()
        stream = container.read(self._data)
        self._size = (stream.header.width, stream.header.height)
        self._mode = "RGB" if stream.header.colour.chroma != "400" else "L" if stream.header.colour.depth == 8 else "I;16"
        self.info["calotype"] = describe.describe(stream)
        for profile in stream.payloads(container.ICC):
            self.info["icc_profile"] = bytes(profile)
        self.tile = []

    def load(self) -> object:
        """Decode, the first time."""
        if self._data:
            from calotype import decode

            self.im = decode(self._data).im
            self._data = b""
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _save(image: Image.Image, stream: BinaryIO, filename: str | bytes) -> None:
    from calotype import encode

    options = {name: image.encoderinfo[name] for name in _OPTIONS if name in image.encoderinfo}
    stream.write(encode(image, **options))


Image.register_open(FORMAT, CaloImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".calo")
Image.register_mime(FORMAT, "image/x-calotype")
