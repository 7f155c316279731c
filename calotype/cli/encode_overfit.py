"""`calotype encode -m overfit`: one picture, fitted for as long as its effort or minutes allow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import batch, picturefiles, terminal

if TYPE_CHECKING:
    from ..codecs.limits import Limits
    from ..codecs.overfit import OverfitCodec, State


def fits(codec: Any) -> bool:
    """Whether it is a codec that is fitted to a picture."""
    return getattr(codec, "fits", False)


def encode_one(
    codec: OverfitCodec,
    job: batch.Job,
    target: tuple[str, float],
    region: tuple[Path | None, float],
    drop_alpha: bool,
    limits: Limits,
    as_json: bool,
    progress: terminal.Progress,
) -> None:
    """Encode and print a row. region: file of a mask, drop. Ctrl-C ends the fit and writes what it has, with a target the best
    that met it. Raises UsageError, CorruptStreamError, LimitError."""
    from ..codecs.pictures import read_picture
    from ..codecs.targets import Target, encode_to, psnr

    source = picturefiles.Source(job)
    picture = read_picture(source.data, drop_alpha, limits)
    source.note(picture.notes, progress)
    last: list[State] = []

    def report(state: State) -> None:
        last[:] = [state]
        progress.fit(state.done, state.total, state.db, state.bpp, state.left)

    aim = Target(*target)  # type: ignore[arg-type]
    roi = picturefiles.region(*region, picture, limits)
    encoded = encode_to(codec, picture.pixels, aim, picture.icc, True, roi=roi, report=report)
    picturefiles.write(job, encoded.data)
    record = source.record(
        encoded.data,
        picture.pixels.shape,
        estimated_bits=round(encoded.estimated_bits, 1),
        quality=encoded.quality,
        psnr=picturefiles.rounded(psnr(encoded.reconstruction, picture.pixels)),
        model=codec.bundle.name,
        effort=codec.effort,
        rounds=last[0].done if last else 0,
        notes=picture.notes,
    )
    with progress.aside():
        terminal.row(_line(record), record, as_json, piped=job.target is None)


def _line(record: dict[str, Any]) -> str:
    db = "lossless" if record["psnr"] is None else f"{record['psnr']:.2f} dB"
    done = f"{record['rounds']} starts and rounds in {record['seconds']:.0f} s"
    return f"{picturefiles.sizes(record)}  {db}  q {record['quality']:g}  {done}"
