"""The part of `calotype decode` that reads video files."""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..codecs.header import MAGIC
from ..errors import CorruptStreamError
from . import batch, standardinput, terminal

if TYPE_CHECKING:
    from ..codecs.limits import Limits
    from ..codecs.video.audio import AudioDescription, AudioPacket
    from ..codecs.video.decoder import Video

MEDIA = 5  # the byte whose highest bit says that a file is a video (docs/FORMAT.md)


def is_video(job: batch.Job) -> bool:
    """Whether a job's source is a video file. False where it is none of ours: that is for who reads it to say."""
    try:
        if job.source is None:
            head = standardinput.head(MEDIA + 1)
        else:
            with job.source.open("rb") as stream:
                head = stream.read(MEDIA + 1)
    except OSError:
        return False
    return head.startswith(MAGIC) and head[MEDIA:] >= b"\x80"


def decode_one(
    job: batch.Job,
    form: str | None,
    settings: dict[str, Any],
    limits: Limits,
    output: dict[str, Any],
    as_json: bool,
    progress: terminal.Progress,
) -> None:
    """Decode one clip and print its line. settings: of `open_clip`; output: start (seconds), frames, audio, codec, crf."""
    from ..codecs.video.media_out import Clip, open_output
    from ..codecs.video.opening import open_clip

    started = time.monotonic()
    source: Path | BinaryIO = sys.stdin.buffer if job.source is None else job.source
    with open_clip(source, limits, **settings) as video:
        header = video.header
        ticks = Fraction(video.tick_rate[1], video.tick_rate[0])
        clip = Clip(
            *(header.width, header.height, Fraction(*header.rate), ticks, header.colour),
            *(header.params.get(name) for name in ("primaries", "transfer")),
        )
        first = None
        if output["start"]:
            first = round(Fraction(str(output["start"])) / ticks)
            video.seek_time(first)
        most = output["frames"]
        audio = video.audio if output["audio"] else None
        target: Any = "-" if job.target is None else job.target
        count, zero, end = 0, 0, Fraction(0)
        waiting: list[AudioPacket] = []  # on the time of what is written, which begins at tick `zero`
        notes = []
        with open_output(target, form, clip, audio, output["codec"], output["crf"]) as sink:
            for frame in video:
                if not count:
                    zero = frame.ticks
                sink.write(frame.planes, frame.ticks - zero)
                waiting += _from(video, audio, zero)
                end = (frame.ticks - zero) * ticks + 1 / clip.rate
                sink.write_audio([packet for packet in waiting if _begin(packet, audio) < end])
                waiting = [packet for packet in waiting if _begin(packet, audio) >= end]
                count += 1
                progress.frames(count, most or video.count, count / max(time.monotonic() - started, 1e-3))
                if count == most:
                    break
            if audio and count == most:
                notes += _late(video, zero * ticks + end)
            waiting += _from(video, audio, zero)
            sink.write_audio([packet for packet in waiting if count != most or _begin(packet, audio) < end])
        notes += sink.notes
        if video.damage:
            notes.append(f"{video.damage}; the frames before are there")
    seconds = time.monotonic() - started
    record = {
        "input": job.name,
        "output": str(job.target or batch.PIPE),
        "width": header.width,
        "height": header.height,
        "frames": count,
        "model": video.model,
        "partial": bool(video.damage),
        "notes": notes,
        "seconds": round(seconds, 3),
        "fps": round(count / seconds, 2),
    }
    with progress.aside():
        for line in notes:
            terminal.note(f"{job.name}: {line}")
        line = f"{job.name} -> {record['output']}  {header.width}x{header.height} x {count}  {record['fps']:.1f} frames/s"
        terminal.row(line, record, as_json, piped=job.target is None)


def _from(video: Video, audio: AudioDescription | None, zero: int) -> list[AudioPacket]:
    """The packets that were read, on the time of what is written, which begins at tick `zero` of the clip; those that end
    before it are out, and all where no audio is written."""
    from ..codecs.video.audio import moved

    packets = video.take_audio()
    if audio is None:
        return []
    found = moved(packets, audio, Fraction(zero * video.tick_rate[1], video.tick_rate[0]))
    return [packet for packet in found if not zero or packet.pts + packet.duration > 0]


def _late(video: Video, until: Fraction) -> list[str]:
    """Read the sound of the frames that were wanted to its end, seconds of the clip; a note where damage is in the way."""
    try:
        video.read_late_audio(until)
    except CorruptStreamError as error:
        return [f"{error}; its sound may end early"]
    return []


def _begin(packet: AudioPacket, audio: AudioDescription | None) -> Fraction:
    """Seconds."""
    assert audio is not None
    return packet.pts * audio.streams[packet.stream].time_base
