"""VMAF (Netflix, github.com/Netflix/vmaf) and XPSNR (Helmrich et al. 2020, doi 10.1109/ICASSP40776.2020.9054089).

Both are filters of the ffmpeg binary that the package imageio-ffmpeg ships; VMAF's default model is compiled into it.
The samples go to it as they are, through one pipe: a frame of the source, the decoded one, the next of the source, ...

    stdin, raw -> split -> every first  (source)  -> settled times -> split -+-> libvmaf -> vmaf.json
                        -> every second (decoded) -> settled times -> split -+-> xpsnr   -> xpsnr.log
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from calotype.errors import CalotypeError
from calotype.eval.ffmpeg import find_ffmpeg
from calotype.eval.metrics.metric import CLIP, PICTURE, Frame, Frames, MetricError, kind_of, pairs, size_of

DEFAULT_RATE = Fraction(25)  # of frames that do not say theirs; XPSNR looks further back in time above 32 a second
PLANES = "yuv"
FILTERS = {
    "vmaf": "libvmaf=model=version=vmaf_v0.6.1:log_fmt=json:log_path=vmaf.json",
    "xpsnr": "xpsnr=stats_file=xpsnr.log",
}
# libvmaf looks at luma only, but takes no RGB
TO_LUMA = ",scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format=yuv444p"


class FfmpegMetric:
    """A figure that a filter of ffmpeg gives. filter: a key of FILTERS."""

    higher_is_better = True
    name: str
    convention: str
    kinds: tuple[str, ...]
    filter: str

    def unavailable(self) -> str | None:
        return _probe(self.filter)

    def limit(self, width: int, height: int) -> str | None:
        return None

    def value(self, folder: Path) -> float:
        """The figure, out of the logs that the filter left in `folder`; may be infinite."""
        raise NotImplementedError

    def measure(self, reference: Frames, decoded: Frames) -> dict[str, float | None]:
        pipe = None
        try:
            for a, b in pairs(reference, decoded, self.kinds):
                if pipe is None:
                    pipe = Pipe([self], a, getattr(reference, "rate", DEFAULT_RATE))
                pipe.write(a, b)
            return pipe.close() if pipe else {}
        finally:
            if pipe:
                pipe.stop()


class Vmaf(FfmpegMetric):
    name = filter = "vmaf"
    convention = (
        "VMAF by ffmpeg's libvmaf, model vmaf_v0.6.1, mean over frames; a picture is one frame, its luma that of BT.709, "
        "limited range"
    )
    kinds = (CLIP, PICTURE)

    def value(self, folder: Path) -> float:
        frames = json.loads((folder / "vmaf.json").read_text())["frames"]
        return math.fsum(frame["metrics"]["vmaf"] for frame in frames) / len(frames)


class Xpsnr(FfmpegMetric):
    """One plane: 0, 1 or 2 for Y, U or V."""

    filter = "xpsnr"
    kinds = (CLIP,)

    def __init__(self, plane: int) -> None:
        self.plane = plane
        self.name = f"xpsnr_{PLANES[plane]}"
        self.convention = (
            f"XPSNR of the {PLANES[plane].upper()} plane by ffmpeg's xpsnr, its figure for the whole clip "
            "(from the mean over frames of the root of the weighted error), to 4 decimals"
        )

    def value(self, folder: Path) -> float:
        last = (folder / "xpsnr.log").read_text().strip().rsplit("\n", 1)[-1]
        found = re.search(rf"average.* {PLANES[self.plane]}: *(\S+)", last)
        if not found:
            raise ValueError(f"no XPSNR in '{last}'")
        return float(found[1])


class Pipe:
    """An ffmpeg process that is given frame by frame what it shall compare: write() each, close(), always stop().

    first: a frame, for its size and kind. Raises MetricError where ffmpeg cannot be run, fails, or gives no figure.
    """

    def __init__(self, metrics: Sequence[FfmpegMetric], first: Frame, rate: Fraction = DEFAULT_RATE) -> None:
        self.metrics = metrics
        try:
            binary = find_ffmpeg()
        except CalotypeError as error:
            raise MetricError(str(error)) from error
        width, height = size_of(first)
        clip = kind_of(first) == CLIP
        command = [binary, "-hide_banner", "-nostdin", "-v", "error", "-f", "rawvideo"]
        command += ["-pix_fmt", "yuv420p" if clip else "rgb24", "-video_size", f"{width}x{height}"]
        command += ["-framerate", str(Fraction(rate)), "-i", "-"]
        filters = sorted({metric.filter for metric in metrics})
        command += ["-filter_complex", graph(filters, "" if clip else TO_LUMA)]
        for name in filters:
            command += ["-map", f"[{name}]", "-f", "null", "-"]
        self.folder = Path(tempfile.mkdtemp(prefix="calotype-"))
        # a file, as a pipe that nobody reads could fill up
        self._errors = (self.folder / "errors").open("w+b")
        try:
            # the logs' names in the filters are relative: a whole path would need escapes
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors, cwd=self.folder
            )
        except OSError as error:
            self._errors.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise MetricError(f"ffmpeg cannot be run: {error}") from error

    def write(self, a: Frame, b: Frame) -> None:
        try:
            for frame in (a, b):
                for part in frame if isinstance(frame, tuple) else (frame,):
                    self._process.stdin.write(np.ascontiguousarray(part).data)
        except OSError as error:  # it went away
            raise self._failure() from error

    def close(self) -> dict[str, float | None]:
        """{name: value} of each metric; None for an infinite one."""
        try:
            self._process.stdin.close()
        except OSError as error:
            raise self._failure() from error
        if self._process.wait():
            raise self._failure()
        try:
            values = {metric.name: metric.value(self.folder) for metric in self.metrics}
        except (OSError, ValueError, KeyError, ZeroDivisionError) as error:
            raise MetricError(f"ffmpeg gave no figure for {', '.join(m.name for m in self.metrics)}: {error}") from error
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    def stop(self) -> None:
        """End the process and delete what it left; needed also after close()."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        try:
            self._process.stdin.close()
        except OSError:  # of what was still to be written
            pass
        self._errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _failure(self) -> MetricError:
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return MetricError(f"ffmpeg failed (exit code {code}): {lines[-1] if lines else 'it said nothing'}")


def graph(filters: Sequence[str], convert: str = "") -> str:
    """The filter graph of this module's head; convert: filters that each frame takes first."""

    def side(name: str, test: str) -> str:
        outs = "".join(f"[{name}{i}]" for i in range(len(filters)))
        return f"[{name}]select={test},setpts=N{convert},split={len(filters)}{outs}"

    parts = ["[0:v]split=2[r][d]", side("r", r"not(mod(n\,2))"), side("d", r"mod(n\,2)")]
    parts += [f"[d{i}][r{i}]{FILTERS[name]}[{name}]" for i, name in enumerate(filters)]
    return ";".join(parts)


@cache
def _probe(name: str) -> str | None:
    """Why ffmpeg's filter cannot be used here, found by using it on two grey frames; None where it can."""
    grey = np.full((64, 64), 128, np.uint8)
    frame = grey, grey[:32, :32], grey[:32, :32]
    metric = Vmaf() if name == "vmaf" else Xpsnr(0)
    try:
        metric.measure([frame, frame], [frame, frame])
    except MetricError as error:
        return str(error)
    return None
