"""`calotype decode`: .calo files to pictures and clips."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..codecs.suffixes import CALO_SUFFIX, PICTURE_FORMATS
from ..errors import UsageError
from . import batch, decode_video, options, terminal
from .calofiles import read_file

CLIP_FORMS = ("y4m", "yuv", "mp4", "mov", "mkv", "webm")

if TYPE_CHECKING:
    from ..codecs.limits import Limits
    from ..models.generative.backbone import Backbone


@click.command(no_args_is_help=True)
@options.inputs_and_out
@click.option(
    "--format",
    "form",
    type=click.Choice([*PICTURE_FORMATS, *CLIP_FORMS]),
    help="Format.  [default: by OUT's suffix; in folders and pipes png, of clips y4m]",
)
@click.option("--start", type=click.FloatRange(min=0), default=0, help="Seconds of a clip to leave out.")
@click.option("--frames", type=click.IntRange(min=1), help="Most frames of a clip to decode.")
@click.option("--no-audio", is_flag=True, help="Leave a clip's audio out.")
@click.option(
    "--codec",
    type=click.Choice(["h264", "ffv1", "vp9", "av1"]),
    help="Of clips.  [default: h264 in mp4 and mov, ffv1, which is lossless, in mkv, vp9 in webm]",
)
@click.option("--crf", type=float, help="That codec's quality, where it is not lossless.")
@click.option(
    "--realism",
    type=click.FloatRange(0, 1),
    help="Of generative pictures: 0 closest to the source, 1 most real.  [default: what the file says, usually 1]",
)
@click.option(
    "--backbone",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of generative pictures: a folder of a Stable Diffusion model, in the place of the net (see docs/FIGURES.md).",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Of generative pictures: calls of the net, each taking away a part of the noise.  [default: 1]",
)
@click.option("--allow-partial", is_flag=True, help="Decode what precedes a cut or damage; the rest of a picture is grey.")
@click.option("-m", "--model", help="The model file, where the model that a file names is not installed.")
@options.machine_options
@click.option("-n", "--no-clobber", is_flag=True, help="Keep outputs that exist; without it they are replaced, as cp does.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a picture.")
@options.limit_options
def decode(
    inputs: tuple[str, ...],
    out: str,
    form: str | None,
    allow_partial: bool,
    model: str | None,
    device: str,
    threads: int | None,
    no_clobber: bool,
    as_json: bool,
    start: float,
    frames: int | None,
    no_audio: bool,
    codec: str | None,
    crf: float | None,
    realism: float | None,
    backbone: Path | None,
    steps: int | None,
    **rest: Any,
) -> None:
    """Decode .calo files to pictures and clips.

    One file becomes the picture OUT. Several, a folder, or a pattern ("shots/*.calo") go into the folder OUT with their
    tree kept: a.calo becomes a.png, or a.y4m where it is a clip. A clip becomes a file (.y4m, .mp4, .mkv, .webm, .mov), or
    with --format png pictures in OUT (in OUT/a where there are several files). A file that fails does not stop the others;
    the exit code then says that one did.
    `-` is standard input or output; results then go to stderr.
    """
    limits = options.limits(rest)
    offered = {"realism": realism, "backbone": backbone, "steps": steps}
    generating = {name: value for name, value in offered.items() if value is not None}
    jobs = batch.plan(inputs, out, {CALO_SUFFIX}, f".{form or 'png'}", {CALO_SUFFIX})
    options.prepare(device, threads)
    alone = len(jobs) == 1 and jobs[0].source in (None, Path(inputs[0]))  # one file, given by its name
    whole = Path(out) if alone and out != batch.PIPE else None

    def work(job: batch.Job, progress: terminal.Progress) -> None:
        settings = {"allow_partial": allow_partial, "model": model, "device": device}
        if decode_video.is_video(job):
            if generating:
                raise UsageError(
                    f"{job.name} is a clip, and --{next(iter(generating))} is of generative pictures: leave it out"
                )
            output = {"start": start, "frames": frames, "audio": not no_audio, "codec": codec, "crf": crf}
            decode_video.decode_one(_renamed(job, form, whole), form, settings, limits, output, as_json, progress)
            return
        if form in CLIP_FORMS:
            raise UsageError(f"{job.name} is a picture, and {form} holds clips: leave --format out")
        if not form and job.target is not None and job.target.suffix.lower().lstrip(".") not in PICTURE_FORMATS:
            read_file(job.source, limits)  # where it is no .calo file, that is what is wrong
            raise UsageError(
                f"{job.target}: no picture format has this suffix; use one of {', '.join(PICTURE_FORMATS)}, or --format"
            )
        _decode_one(job, form, settings, limits, as_json, progress, generating)

    batch.run(jobs, work, "decode", no_clobber, as_json)


def _renamed(job: batch.Job, form: str | None, whole: Path | None) -> batch.Job:
    """A clip that goes into a folder gets a clip's suffix there. Its pictures get a folder of their own: OUT (whole) where it
    is the one input, whether that is there or not."""
    if job.target is None or form in CLIP_FORMS:
        return job
    if form and job.in_folder:
        return replace(job, target=(whole or job.target.with_suffix("")) / f"%05d.{form}")
    if job.in_folder:
        return replace(job, target=job.target.with_suffix(".y4m"))
    if not form and not job.target.suffix:
        raise UsageError(f"{job.target}: give a suffix, as in {job.target.name}.mp4, or --format png for a folder of pictures")
    return job


@lru_cache(1)
def _backbone(folder: Path, device: str) -> Backbone:
    from ..models.generative.backbone import Backbone

    return Backbone.read(folder, device)


def _decode_one(
    job: batch.Job,
    form: str | None,
    settings: dict[str, Any],
    limits: Limits,
    as_json: bool,
    progress: terminal.Progress,
    generating: dict[str, Any],
) -> None:
    """generating: options of generative pictures that were given."""
    from ..codecs.pictures import write_picture
    from ..codecs.registry import open_stream

    started = time.monotonic()
    stream, codec = open_stream(read_file(job.source, limits), limits, **settings)
    if generating and stream.header.codec != "generative":
        option = next(iter(generating))
        raise UsageError(f"{job.name} is of codec '{stream.header.codec}', which generates nothing: leave --{option} out")
    if "backbone" in generating:
        codec.backbone = _backbone(generating["backbone"], settings["device"])
    decoded = codec.decode(stream, progress.part, **{k: v for k, v in generating.items() if k != "backbone"})
    target = sys.stdout.buffer if job.target is None else job.target
    notes = write_picture(target, decoded.pixels, decoded.icc, form)
    if stream.truncated:
        notes.append(f"{stream.damage}; {decoded.missing} tiles are missing and grey")
    if job.target is None:
        sys.stdout.buffer.flush()
    header = stream.header
    record = {
        "input": job.name,
        "output": str(job.target or batch.PIPE),
        "width": header.width,
        "height": header.height,
        "bytes": stream.size,
        "model": header.model,
        "missing_tiles": decoded.missing,
        "notes": notes,
        "seconds": round(time.monotonic() - started, 3),
    }
    line = f"{record['input']} -> {record['output']}  {header.width}x{header.height}  from {stream.size} bytes"
    with progress.aside():
        for text in notes:
            terminal.note(f"{job.name}: {text}")
        terminal.row(line, record, as_json, piped=job.target is None)
