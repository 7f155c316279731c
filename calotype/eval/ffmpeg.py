"""The ffmpeg binary that the package imageio-ffmpeg ships, run as a process of its own."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from calotype.errors import CalotypeError

_SAMPLING = 0.02  # seconds between two looks at a process's memory
_QUIET = {"SVT_LOG": "1"}  # SVT-AV1 has a log of its own, which -loglevel does not silence


@dataclass(frozen=True)
class Ran:
    """seconds: wall clock, start of the process included; cpu: of all its threads, user and system; peak_memory: bytes
    resident at most, looked at every 20 ms (None where the system has no /proc, or the run was too short to see).
    """

    seconds: float
    cpu: float
    peak_memory: int | None


def find_ffmpeg() -> str:
    """The path of the binary. Raises CalotypeError where there is none."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise CalotypeError(f"there is no ffmpeg ({error}); install it: pip install 'calotype[anchors]'") from error


def ffmpeg_version() -> str:
    """As "ffmpeg 9.0". Raises CalotypeError where it cannot be run."""
    return _version(find_ffmpeg())


@lru_cache(maxsize=4)
def _version(binary: str) -> str:
    try:
        done = subprocess.run([binary, "-version"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise CalotypeError(f"ffmpeg does not run ({error}); install it: pip install 'calotype[anchors]'") from error
    words = done.stdout.split()
    return f"ffmpeg {words[2]}" if len(words) > 2 else "ffmpeg"


def run_ffmpeg(arguments: Sequence[str], what: str) -> Ran:
    """Run ffmpeg to its end. what: said in errors ("x265"). Raises CalotypeError with what it said where it fails."""
    command = [find_ffmpeg(), "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments]
    before, start = os.times(), time.perf_counter()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | _QUIET
        )
    except OSError as error:
        raise CalotypeError(f"{what}: ffmpeg cannot be run ({error}); install it: pip install 'calotype[anchors]'") from error
    watch = _Watch(process.pid)
    try:
        _, said = process.communicate()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        watch.stop()
    seconds, after = time.perf_counter() - start, os.times()
    if process.returncode:
        raise CalotypeError(f"{what}: ffmpeg failed (exit code {process.returncode}): {_last_line(said)}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(seconds, cpu, watch.peak)


def _last_line(said: bytes) -> str:
    """The last line, and the first where it is another: an encoder says first what is wrong, ffmpeg last what became of
    it."""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    return lines[-1].strip() if len(lines) == 1 else f"{lines[0].strip()} ... {lines[-1].strip()}"


class _Watch:
    """Reads a process's peak of resident memory until stopped. (getrusage would count the process that forked it.)"""

    def __init__(self, pid: int):
        self.peak: int | None = None
        self._status = Path(f"/proc/{pid}/status")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            try:
                lines = self._status.read_text(encoding="ascii", errors="replace").splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("VmHWM:"):
                    self.peak = max(self.peak or 0, 1024 * int(line.split()[1]))
            if self._done.wait(_SAMPLING):
                return
