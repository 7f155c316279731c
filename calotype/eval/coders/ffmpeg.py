"""Video encoders of the ffmpeg binary: x264, x265, SVT-AV1, libaom, VVenC.

    frames --once a source--> .y4m --encoder, timed--> elementary stream --decoder, timed--> raw file --> frames

All are tuned for PSNR where they can be, as learned codecs are. Two configurations:

    random-access   pictures are reordered, in pyramids where the encoder has them; it looks ahead as far as it likes
    low-delay       decoded in the order they are shown, each from earlier ones only; the encoder does not look ahead
                    (VVenC's does: it has no other way)

Intra frames come every `intra_period` frames, or once; none where the picture changes.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import ClassVar

from calotype.errors import UsageError
from calotype.eval.coders.base import CodedSource, Settings, check_kind, one_of
from calotype.eval.coders.clipfiles import as_y4m, decoded_frames
from calotype.eval.ffmpeg import Ran, ffmpeg_version, run_ffmpeg
from calotype.eval.frames import CLIP, Frames

RANDOM_ACCESS, LOW_DELAY = "random-access", "low-delay"
CONFIGURATIONS = (RANDOM_ACCESS, LOW_DELAY)
TIMING = "seconds of the ffmpeg process, its start included, from a .y4m file to the stream's, and from that to a raw file"
FOREVER = 99999  # frames between intra frames that never come


class FfmpegCoder:
    """Base of the video encoders: what they are called, their presets, and their arguments.

    codec: the name here; presets: from fast to good; suffix: of ffmpeg's format for the bare stream; decoder: ffmpeg's;
    bits: of the decoded samples.
    """

    kinds = (CLIP,)
    synopsis: ClassVar[str]
    codec: ClassVar[str]
    presets: ClassVar[tuple[str, ...]]
    preset: str
    suffix: ClassVar[str]
    decoder: ClassVar[str]
    bits: ClassVar[int] = 8
    rate: ClassVar[str] = "bytes of the elementary stream (Annex B), without the encoder's text about itself"
    points: tuple[float, ...]

    def __init__(self, options: list[str], settings: Settings):
        rest = list(options)
        spec = ":".join([self.codec, *options])
        self.configuration = rest.pop() if rest and rest[-1] in CONFIGURATIONS else RANDOM_ACCESS
        if rest:
            self.preset = one_of(spec, "preset or configuration", rest.pop(0), (*self.presets, *CONFIGURATIONS))
        if rest or self.preset not in self.presets:
            raise UsageError(f"{spec}: give {self.synopsis}")
        self.label = f"{self.codec}:{self.preset}:{self.configuration}"
        self.settings = settings
        self.version = ffmpeg_version()

    @property
    def low_delay(self) -> bool:
        """Whether the configuration is that."""
        return self.configuration == LOW_DELAY

    def arguments(self, point: str) -> list[str]:
        """ffmpeg's, of the encoder, at a point of the dial."""
        raise NotImplementedError

    @property
    def identity(self) -> dict[str, str | float]:
        period = self.settings.intra_period
        return {
            "codec": self.codec,
            "version": self.version,
            "preset": self.preset,
            "configuration": self.configuration,
            "intra_period": "one intra frame" if period is None else period,
            "threads": self.settings.threads,
            "arguments": " ".join(self.arguments("POINT")),
            "rate": self.rate,
            "timing": TIMING,
        }

    def code(self, source: Frames, point: float) -> CodedSource:
        """As `Coder.code`."""
        check_kind(self, source)
        clip = as_y4m(source)
        folder = Path(tempfile.mkdtemp(prefix="calotype-eval-"))
        try:
            stream, raw = folder / f"stream.{self.suffix}", folder / "decoded.yuv"
            threads = ["-threads", str(self.settings.threads)]
            encoder = [*threads, *self.arguments(f"{point:g}"), "-f", self.suffix, str(stream)]
            encoded = run_ffmpeg(["-i", str(clip), "-an", "-fps_mode", "passthrough", *encoder], self.label)
            data = stream.read_bytes()
            decoded = self._decode(stream, raw)
            frames = decoded_frames(source, raw, self.bits, self.label)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        stream.unlink()
        weakref.finalize(frames, shutil.rmtree, folder, ignore_errors=True)
        peaks = [run.peak_memory for run in (encoded, decoded) if run.peak_memory is not None]
        return CodedSource(
            data_bytes=len(data),
            estimated_bits=None,
            decoded=frames,
            encode_seconds={"total": encoded.seconds, "cpu": encoded.cpu},
            decode_seconds={"total": decoded.seconds, "cpu": decoded.cpu},
            stream=data,
            peak_memory=max(peaks, default=None),
        )

    def _decode(self, stream: Path, raw: Path) -> Ran:
        source = ["-threads", str(self.settings.threads), "-c:v", self.decoder, "-f", self.suffix, "-i", str(stream)]
        samples = "yuv420p" if self.bits == 8 else f"yuv420p{self.bits}le"
        return run_ffmpeg([*source, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", samples, str(raw)], self.label)


class X264(FfmpegCoder):
    """H.264. Low delay by its tune zerolatency."""

    synopsis = "x264[:PRESET][:low-delay|:random-access]"
    codec, suffix, decoder = "x264", "h264", "h264"
    presets = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
    preset = "medium"
    points = (15, 19, 23, 27, 31, 35, 39, 43)

    def arguments(self, point: str) -> list[str]:
        period = str(self.settings.intra_period or FOREVER)
        tune = "psnr,zerolatency" if self.low_delay else "psnr"
        found = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", self.preset, "-tune", tune, "-crf", point]
        # message 6, SEI: x264's text about itself, 600 bytes
        found += ["-g", period, "-keyint_min", period, "-sc_threshold", "0", "-bsf:v", "filter_units=remove_types=6"]
        return found


class X265(FfmpegCoder):
    """H.265."""

    synopsis = "x265[:PRESET][:low-delay|:random-access]"
    codec, suffix, decoder = "x265", "hevc", "hevc"
    presets = X264.presets
    preset = "medium"
    points = (15, 19, 23, 27, 31, 35, 39, 43)

    def arguments(self, point: str) -> list[str]:
        period = self.settings.intra_period or -1
        # one frame at a time: with several, the bytes would depend on the machine
        given = [f"keyint={period}", f"min-keyint={max(period, 1)}", "scenecut=0", "info=0", "log-level=error"]
        given += [f"pools={self.settings.threads}", "frame-threads=1"]
        if self.low_delay:
            given += ["bframes=0", "b-adapt=0", "rc-lookahead=0"]
        found = ["-c:v", "libx265", "-pix_fmt", "yuv420p", "-preset", self.preset, "-tune", "psnr", "-crf", point]
        return [*found, "-x265-params", ":".join(given)]


class SvtAv1(FfmpegCoder):
    """AV1 by SVT-AV1."""

    synopsis = "svtav1[:PRESET 0 to 13][:low-delay|:random-access]"
    codec, suffix, decoder = "svtav1", "obu", "libdav1d"
    presets = tuple(str(preset) for preset in range(13, -1, -1))
    preset = "6"
    points = (15, 22, 29, 36, 43, 50, 57, 63)
    rate = "bytes of the OBU stream (low overhead format, with temporal delimiters)"

    def arguments(self, point: str) -> list[str]:
        given = [f"keyint={self.settings.intra_period or -1}", "scd=0", "tune=1", f"lp={self.settings.threads}"]
        given += [f"pred-struct={1 if self.low_delay else 2}"]
        found = ["-c:v", "libsvtav1", "-pix_fmt", "yuv420p", "-preset", self.preset, "-crf", point]
        return [*found, "-svtav1-params", ":".join(given)]


class Libaom(FfmpegCoder):
    """AV1 by libaom, one pass; its preset is cpu-used."""

    synopsis = "libaom[:PRESET 0 to 8][:low-delay|:random-access]"
    codec, suffix, decoder = "libaom", "obu", "libdav1d"
    presets = tuple(str(preset) for preset in range(8, -1, -1))
    preset = "4"
    points = SvtAv1.points
    rate = SvtAv1.rate

    def arguments(self, point: str) -> list[str]:
        period = str(self.settings.intra_period or FOREVER)
        found = ["-c:v", "libaom-av1", "-pix_fmt", "yuv420p", "-cpu-used", self.preset, "-crf", point, "-b:v", "0"]
        found += ["-tune", "psnr", "-g", period, "-keyint_min", period, "-lag-in-frames", "0" if self.low_delay else "35"]
        return found


class Vvenc(FfmpegCoder):
    """H.266 by VVenC, 10 bits inside; what it decodes to is rounded to 8."""

    synopsis = "vvenc[:PRESET][:low-delay|:random-access]"
    codec, suffix, decoder = "vvenc", "vvc", "vvc"
    presets = ("faster", "fast", "medium", "slow", "slower")
    preset = "medium"
    bits = 10
    points = (17, 21, 25, 29, 32, 35, 38, 42)

    def arguments(self, point: str) -> list[str]:
        given = [f"intraperiod={self.settings.intra_period or -1}", "refreshsec=0", f"threads={self.settings.threads}"]
        if self.low_delay:
            given += ["picreordering=0", "decodingrefreshtype=none", "gopsize=8"]
        found = ["-c:v", "libvvenc", "-pix_fmt", "yuv420p10le", "-preset", self.preset, "-qp", point, "-qpa", "0"]
        return [*found, "-vvenc-params", ":".join(given)]
