"""`calotype encode --lossless`: one picture to a .calo file that keeps every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import batch, picturefiles, terminal

if TYPE_CHECKING:
    from ..codecs.limits import Limits
    from ..codecs.overfit import State

NET = "bitplane"  # of --net


def encode_one(
    job: batch.Job,
    fitting: dict[str, Any] | None,
    drop_alpha: bool,
    limits: Limits,
    as_json: bool,
    progress: terminal.Progress,
) -> None:
    """Encode and print a row. fitting: effort, minutes, device of the picture's own network, None for the plain codec; Ctrl-C
    ends the fit and writes what it has. Raises UsageError, CorruptStreamError, LimitError."""
    from ..codecs import bitplane, lossless
    from ..codecs.exactpictures import read_exact

    codec = None if fitting is None else bitplane.BitplaneCodec(**fitting)
    source = picturefiles.Source(job)
    picture = read_exact(source.data, drop_alpha, limits)
    source.note(picture.notes, progress)

    def report(state: State) -> None:
        progress.fit(state.done, state.total, state.db, state.bpp, state.left)

    if codec is None:
        model, data = lossless.MODEL, lossless.LosslessCodec().encode(picture.pixels, picture.icc, progress.part).data
    else:
        model, data = bitplane.MODEL, codec.encode(picture.pixels, picture.icc, report).data
    picturefiles.write(job, data)
    record = source.record(data, picture.pixels.shape, lossless=True, model=model, notes=picture.notes)
    with progress.aside():
        terminal.row(f"{picturefiles.sizes(record)}  lossless", record, as_json, piped=job.target is None)
