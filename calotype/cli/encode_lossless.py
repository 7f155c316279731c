"""`calotype encode --lossless`: one picture to a .calo file that keeps every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import batch, picturefiles, terminal

if TYPE_CHECKING:
    from ..codecs.limits import Limits


def encode_one(job: batch.Job, drop_alpha: bool, limits: Limits, as_json: bool, progress: terminal.Progress) -> None:
    """Encode and print a row. Raises UsageError, CorruptStreamError, LimitError."""
    from ..codecs.exactpictures import read_exact
    from ..codecs.lossless import MODEL, LosslessCodec

    source = picturefiles.Source(job)
    picture = read_exact(source.data, drop_alpha, limits)
    source.note(picture.notes, progress)
    data = LosslessCodec().encode(picture.pixels, picture.icc, progress.part).data
    picturefiles.write(job, data)
    record = source.record(data, picture.pixels.shape, lossless=True, model=MODEL, notes=picture.notes)
    with progress.aside():
        terminal.row(f"{picturefiles.sizes(record)}  lossless", record, as_json, piped=job.target is None)
