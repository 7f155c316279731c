"""`calotype encode`: pictures and clips to .calo files."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..codecs.neural.grouphead import CODEC as NEURAL
from ..codecs.suffixes import CALO_SUFFIX, MOVIE_SUFFIXES, PICTURE_SUFFIXES
from ..errors import UsageError
from . import batch, encode_lossless, encode_neural, encode_overfit, encode_video, options, picturefiles, terminal

if TYPE_CHECKING:
    from ..codecs.image import ImageCodec
    from ..codecs.limits import Limits

DEFAULT_QUALITY = 50.0
ANIMATED = {".gif", ".webp", ".avif"}  # pictures that may be clips
PSNR_PIXELS = 16_000_000  # up to here an encode by quality also makes the reconstruction, to print its PSNR


@click.command(no_args_is_help=True)
@options.inputs_and_out
@click.option(
    "-q",
    "--quality",
    type=click.FloatRange(0, 100),
    help=f"The dial, in steps of 0.1: 0 smallest, 100 best.  [default: {DEFAULT_QUALITY:g}]",
)
@click.option("--bpp", type=float, help="The best quality at no more than so many bits per pixel, within 1 % where it can be.")
@click.option("--size", type=options.Bytes(), help="The best quality in a file of no more bytes (40k, 1.5M, 40Ki).")
@click.option("--psnr", type=float, help="The smallest file with at least so many dB: of RGB PSNR; of a clip, 6:1:1 PSNR.")
@click.option("--bitrate", type=options.Bits(), help="Of a clip: bits a second (800k, 2M) of the video, audio aside.")
@click.option(
    "-e",
    "--effort",
    type=click.IntRange(0, 9),
    help="Passes that fit what is coded to the pixels: slower, smaller, decoded alike.  [default: 0; of fitted networks: 4]",
)
@click.option("--minutes", type=float, help="Of what is fitted (-m overfit, inr-video, --net): at most so long.")
@click.option(
    "--net",
    type=click.Choice((*encode_neural.NETS, encode_lossless.NET)),
    help=f"With -m inr-video: hnerv (default) or nirvana. With --lossless: {encode_lossless.NET}, a network fitted to the "
    "picture, which says how probable each bit is: slow, and larger files than without.",
)
@click.option(
    "--realism",
    type=click.FloatRange(0, 1),
    help="With -m generative: what the file is decoded with by default, 0 closest to the source, 1 most real.  [default: 1]",
)
@click.option(
    "--refine",
    type=click.FloatRange(0, 2, min_open=True),
    metavar="BPP",
    help="With -m generative, for research: besides, about so many bits per pixel of coded noise, from which a net that is a "
    "flow makes what the photo had. Slow: some 10 s for 512 x 512 pixels.",
)
@click.option(
    "--roi",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A mask of the picture's size: white has the quality asked for, black less, grey in between.",
)
@click.option(
    "--roi-drop",
    type=click.FloatRange(0, 100),
    default=30,
    show_default=True,
    help="How much lower the quality is where the mask is black.",
)
@click.option("--video", is_flag=True, help="The input is a clip, whatever its name: a folder of frames, a GIF, a pipe of TS.")
@click.option(
    "--structure",
    default="random-access-16",
    show_default=True,
    metavar="NAME|FILE.json",
    help="Order and references of a clip's frames: low-delay, random-access-8, -16, -32, intra, stem.",
)
@click.option(
    "--intra-period",
    type=click.IntRange(min=0),
    default=250,
    show_default=True,
    help="Most frames from one intra frame to the next, where one can seek to; 0: only where scenes begin.",
)
@click.option("--passes", type=click.IntRange(1, 2), default=1, show_default=True, help="Passes over a clip for --bitrate.")
@click.option("--start", type=click.FloatRange(min=0), default=0, help="Seconds of a clip to leave out.")
@click.option("--frames", type=click.IntRange(min=1), help="Most frames of a clip to encode.")
@click.option("--rate", type=options.Rate(), help="Frames a second of pictures that become a clip (30000/1001).  [default: 30]")
@click.option("--no-audio", is_flag=True, help="Leave a clip's audio out; without it, its packets are carried untouched.")
@click.option("--no-cuts", is_flag=True, help="Do not begin scenes of a clip with an intra frame.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Write a line of JSON a frame of a clip here.")
@click.option("--lossless", is_flag=True, help="Every pixel as it is: pictures of RGB or grey, 8 or 16 bits, without a model.")
@click.option("-m", "--model", help="A name that `calotype models` lists, or a model file.")
@options.machine_options
@click.option(
    "--drop-alpha", is_flag=True, help="Drop transparency (the colours under it are kept) instead of refusing it."
)
@click.option(
    "-n", "--no-clobber", is_flag=True, help="Keep outputs that exist; without it they are replaced, as cp does."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a picture.")
@options.limit_options
def encode(
    inputs: tuple[str, ...],
    out: str,
    quality: float | None,
    effort: int | None,
    minutes: float | None,
    net: str | None,
    realism: float | None,
    refine: float | None,
    roi: Path | None,
    roi_drop: float,
    model: str | None,
    device: str,
    threads: int | None,
    drop_alpha: bool,
    no_clobber: bool,
    as_json: bool,
    video: bool,
    structure: str,
    intra_period: int,
    passes: int,
    start: float,
    frames: int | None,
    rate: Fraction | None,
    no_audio: bool,
    no_cuts: bool,
    log: Path | None,
    lossless: bool,
    **rest: Any,
) -> None:
    """Encode pictures and clips to .calo files.

    One picture becomes the file OUT. Several, a folder, or a pattern ("shots/**/*.jpg") go into the folder OUT with
    their tree kept: a.jpg becomes a.calo, or a.jpg.calo where another picture would become a.calo too. A picture that
    fails does not stop the others; the exit code then says that one did. `-` is standard input or output; results then
    go to stderr.

    Any picture that Pillow reads: turned upright by its EXIF orientation, its RGB colour profile kept, other metadata
    left out; what is lost (16 bits, CMYK, animation) is said on stderr.

    Any clip that FFmpeg's libraries read, from files and pipes, pictures by a pattern (frames/%04d.png), and with --video
    folders of them; as 8-bit 4:2:0, with -m overfit 4:4:4 and RGB as 4:4:4.
    """
    limits = options.limits(rest)
    target_value = _target(quality, **rest)
    if lossless:
        of_fits = {} if net else {"minutes": minutes, "effort": effort or None}
        _refuse_lossy(quality, rest, {"realism": realism, "refine": refine, "roi": roi, "model": model} | of_fits, video)
    exact = net == encode_lossless.NET
    if net is not None and not (lossless if exact else model == NEURAL):
        raise UsageError(f"--net {net} is of {'--lossless' if exact else f'-m {NEURAL}'}: give both, or neither")
    clip = encode_video.VideoOptions(
        video, structure, intra_period, passes, start, frames, not no_audio, not no_cuts, effort, log, rate
    )
    if passes > 1 and target_value[0] != "bitrate":
        raise UsageError(f"--passes {passes} is of --bitrate: give both, or neither")
    jobs = _plan(inputs, out, video)
    if log is not None and len(jobs) > 1:
        raise UsageError(f"--log is of one clip, and here are {len(jobs)} files: encode them one by one")
    if roi is not None and len(jobs) > 1:
        raise UsageError(f"--roi is the mask of one picture, and here are {len(jobs)}: encode them one by one")
    device = options.prepare(device, threads)

    def work(job: batch.Job, progress: terminal.Progress) -> None:
        if encode_video.is_video(job, video):
            if lossless:
                raise UsageError(f"{job.name} is a clip, and --lossless is of pictures: leave it out")
            for name, value in (("roi", roi), ("realism", realism), ("refine", refine)):
                if value is not None:
                    raise UsageError(f"{job.name} is a clip, and --{name} is of pictures: leave it out")
            if model == NEURAL:
                fitting = {"effort": effort, "minutes": minutes, "device": device}
                encode_neural.encode_one(net, fitting, job, target_value, clip, limits, as_json, progress)
                return
            if minutes is not None:
                raise UsageError(f"--minutes is of clips with -m {NEURAL}: leave it out")
            encode_video.encode_one(model, device, job, target_value, clip, limits, as_json, progress)
            return
        if model == NEURAL:
            raise UsageError(f"-m {NEURAL} codes clips, and {job.name} is a picture: take -m overfit, or give --video")
        if target_value[0] == "bitrate":
            raise UsageError("--bitrate is of clips: give a picture --bpp, --size, --psnr or -q")
        if lossless:
            fitting = {"effort": effort, "minutes": minutes, "device": device} if net else None
            encode_lossless.encode_one(job, fitting, drop_alpha, limits, as_json, progress)
            return
        codec = _codec(model, device, effort=effort, minutes=minutes, realism=realism, refine=refine)
        if encode_overfit.fits(codec):
            encode_overfit.encode_one(codec, job, target_value, (roi, roi_drop), drop_alpha, limits, as_json, progress)
            return
        if roi is not None and not getattr(codec, "dial", True):
            raise UsageError(f"model '{codec.bundle.name}' has one quality: leave --roi out, or take an image model")
        _encode_one(codec, job, target_value, (roi, roi_drop), drop_alpha, limits, as_json, progress)

    batch.run(jobs, work, "encode", no_clobber, as_json)


def _plan(inputs: tuple[str, ...], out: str, video: bool) -> list[batch.Job]:
    """Jobs for the arguments; with `video` a folder is one clip, its frames."""
    if video and len(inputs) == 1 and Path(inputs[0]).is_dir():
        return [batch.Job(Path(inputs[0]), None if out == batch.PIPE else Path(out))]
    taken = PICTURE_SUFFIXES | MOVIE_SUFFIXES
    jobs = batch.plan(inputs, out, taken, CALO_SUFFIX, taken)
    sources = [job.source for job in jobs if job.source]
    if video and len(jobs) > 1 and all(source.suffix.lower() in PICTURE_SUFFIXES - ANIMATED for source in sources):
        raise UsageError(
            f"with --video each of these {len(jobs)} pictures is a clip of its own: to make one of them, give their folder, or "
            f"their names as a pattern ({sources[0].parent / f'%04d{sources[0].suffix}'})"
        )
    if jobs[0].in_folder and out.lower().endswith(CALO_SUFFIX) and not Path(out).exists():
        raise UsageError(f"this goes into a folder, and OUT is {out}: name a folder, or give --video for one clip of pictures")
    return jobs


def _target(
    quality: float | None, bpp: float | None, size: int | None, psnr: float | None, bitrate: int | None
) -> tuple[str, float]:
    """(kind, value) of the one target that was given."""
    given = {"quality": quality, "bpp": bpp, "size": size, "psnr": psnr, "bitrate": bitrate}
    given = {kind: value for kind, value in given.items() if value is not None}
    if len(given) > 1:
        raise UsageError(f"give one of {', '.join('--' + kind for kind in given)}, not several")
    for kind, value in given.items():
        if kind != "quality" and not (math.isfinite(value) and value > 0):
            raise UsageError(f"--{kind} {value:g}: give a number above 0")
    return next(iter(given.items()), ("quality", DEFAULT_QUALITY))


def _refuse_lossy(
    quality: float | None,
    rest: dict[str, Any],
    settings: dict[str, Any],
    video: bool,
) -> None:
    """Raise UsageError where --lossless stands beside what has no meaning with it."""
    given = {"quality": quality} | settings
    given |= {"video": video or None} | {kind: rest[kind] for kind in ("bpp", "size", "psnr", "bitrate")}
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--lossless keeps every pixel and has no --{name}: leave one of them out")


def _codec(model: str | None, device: str, **settings: float | None) -> Any:
    from ..codecs.registry import open_model

    return open_model(model, device, **{name: value for name, value in settings.items() if value is not None})


def _encode_one(
    codec: ImageCodec,
    job: batch.Job,
    value: tuple[str, float],
    region: tuple[Path | None, float],
    drop_alpha: bool,
    limits: Limits,
    as_json: bool,
    progress: terminal.Progress,
) -> None:
    from ..codecs.pictures import read_picture
    from ..codecs.targets import Target, encode_to, psnr

    source = picturefiles.Source(job)
    picture = read_picture(source.data, drop_alpha, limits)
    source.note(picture.notes, progress)
    target = Target(*value)  # type: ignore[arg-type]
    reconstruct = target.kind == "quality" and picture.pixels.size <= 3 * PSNR_PIXELS
    roi = picturefiles.region(*region, picture, limits)
    encoded = encode_to(codec, picture.pixels, target, picture.icc, reconstruct, progress.part, roi)
    picturefiles.write(job, encoded.data)
    db = None if encoded.reconstruction is None else psnr(encoded.reconstruction, picture.pixels)
    record = source.record(
        encoded.data,
        picture.pixels.shape,
        estimated_bits=round(encoded.estimated_bits, 1),
        quality=encoded.quality,
        psnr=picturefiles.rounded(db),
        model=codec.bundle.name,
        notes=picture.notes,
    )
    with progress.aside():
        terminal.row(_line(record), record, as_json, piped=job.target is None)


def _line(record: dict[str, Any]) -> str:
    db = "" if record["psnr"] is None else f"  {record['psnr']:.2f} dB"
    return f"{picturefiles.sizes(record)}{db}  q {record['quality']:g}"
