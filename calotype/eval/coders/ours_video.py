"""Our own codec of clips.

    .y4m --encoder, timed--> .calo --decoder, timed--> raw file --> frames, each compared with the encoder's own
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from calotype.codecs.video.decoder import Video
from calotype.codecs.video.encoder import VideoEncoder
from calotype.codecs.video.framecodecs import ClipBundle, default_effort
from calotype.codecs.video.media_in import open_video
from calotype.codecs.video.rate import Constant
from calotype.codecs.video.sink import Clip
from calotype.codecs.video.structure import Structure, load, names
from calotype.codecs.y4m import Planes, frame_bytes
from calotype.errors import UsageError
from calotype.eval.coders.base import CodedSource, Settings, check_kind
from calotype.eval.coders.clipfiles import as_y4m, decoded_frames
from calotype.eval.coders.ours import named_model, of_model
from calotype.eval.frames import CLIP, Frames
from calotype.models.complexity import inter_kmac, overfit_inter_kmac
from calotype.models.videobundle import VideoBundle
from calotype.models.zoo import DEFAULT_VIDEO_MODEL, load_any_model

RANDOM_ACCESS = "random-access-16"  # of the spec "random-access", and of none: as `calotype encode` does
RATE = "bytes of the whole .calo file: its header, a frame's, checksums and the index for seeking are in"
TIMING = "seconds from a .y4m file to the .calo file, and from that to a raw file, the model loaded and warm"
WARM_UP = 3  # frames


class ClipCoder:
    """Our codec at one quality a clip, the structure's offsets added.

    intra_period: frames from one intra frame to the next, None for one; none are added where scenes begin.
    """

    synopsis = "ours-video[:MODEL][:low-delay|:random-access|:STRUCTURE][:e0..e9]"
    kinds = (CLIP,)
    points: tuple[float, ...] = (0, 14, 28, 42, 56, 70, 85, 100)

    def __init__(
        self, bundle: ClipBundle, structure: Structure, intra_period: int | None = None, effort: int | None = None
    ):
        usual = default_effort(bundle)
        self._bundle, self._structure, self._period = bundle, structure, intra_period
        self._effort = usual if effort is None else effort
        self._cold = True
        self.label = f"ours-video:{bundle.name}:{structure.name}" + (f":e{self._effort}" if self._effort != usual else "")

    @staticmethod
    def from_spec(options: list[str], settings: Settings) -> ClipCoder:
        """ours-video, with a model (a shipped model's name, or a model file), a structure (a shipped one's name, or a .json
        file) and the encoder's effort. Raises UsageError, ModelError."""
        rest, structure, effort = list(options), RANDOM_ACCESS, None
        if rest and re.fullmatch("e[0-9]", rest[-1]):
            effort = int(rest.pop()[1:])
        if rest and (rest[-1] in ("random-access", *names()) or rest[-1].endswith(".json")):
            structure = rest.pop()
        model = named_model("ours-video", rest, settings) or DEFAULT_VIDEO_MODEL
        _, bundle = load_any_model(model, settings.device)
        if not isinstance(bundle, ClipBundle):
            raise UsageError(f"model '{bundle.name}' codes pictures: give ours:{bundle.name}, or ours-video and a video model")
        chosen = load(RANDOM_ACCESS if structure == "random-access" else structure)
        return ClipCoder(bundle, chosen, settings.intra_period, effort)

    @property
    def identity(self) -> dict[str, str | float]:
        """Codec, model, SHA-256 of its weights and tables and of the structure, parameters, kMAC/pixel of inter frames."""
        return of_model(self._bundle) | {
            "kmac_per_pixel": round(self._kmac(), 3),
            "structure": self._structure.name,
            "structure_hash": hashlib.sha256(repr(self._structure).encode()).hexdigest(),
            "effort": self._effort,
            "intra_period": "one intra frame" if self._period is None else self._period,
            "rate": RATE,
            "timing": TIMING,
        }

    def _kmac(self) -> float:
        bundle = self._bundle
        return inter_kmac(bundle.config.to_dict()) if isinstance(bundle, VideoBundle) else overfit_inter_kmac({})

    def code(self, source: Frames, point: float) -> CodedSource:
        """As `Coder.code`; point: quality 0..100."""
        check_kind(self, source)
        if not 0 <= point <= 100:
            raise UsageError(f"{self.label}: quality {point:g}: give 0 to 100")
        clip = as_y4m(source)
        folder = Path(tempfile.mkdtemp(prefix="calotype-eval-"))
        try:
            self._warm_up(clip)
            stream, believed, raw = (folder / name for name in ("stream.calo", "believed.yuv", "decoded.yuv"))
            one = frame_bytes(source.width, source.height)
            with stream.open("wb") as sink, believed.open("wb") as pictures:

                def keep(number: int, planes: Planes) -> None:
                    pictures.seek(number * one)
                    _put(pictures, planes)

                start = _clock()
                bits = self._encode(clip, point, sink, None, keep)
                sink.flush()
                encode_seconds = _since(start)
            with raw.open("wb") as sink:
                start = _clock()
                with self._open(stream) as video:
                    for frame in video:
                        _put(sink, frame.planes)
                decode_seconds = _since(start)
            frames = decoded_frames(source, raw, 8, self.label)
            pairs = zip(decoded_frames(source, believed, 8, self.label).frames(), frames.frames(), strict=True)
            differing = sum(differing_in_planes(a, b) for a, b in pairs)  # type: ignore[arg-type]
            data = stream.read_bytes()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        believed.unlink()
        stream.unlink()
        weakref.finalize(frames, shutil.rmtree, folder, ignore_errors=True)
        return CodedSource(
            data_bytes=len(data),
            estimated_bits=bits,
            decoded=frames,
            encode_seconds=encode_seconds,
            decode_seconds=decode_seconds,
            differing_pixels=differing,
            stream=data,
        )

    def _warm_up(self, clip: Path) -> None:
        """Compile what is compiled on first use."""
        if self._cold:
            sink = BytesIO()
            self._encode(clip, self.points[len(self.points) // 2], sink, WARM_UP)
            sink.seek(0)
            for _ in self._open(sink):
                pass
            self._cold = False

    def _open(self, stream: Path | BinaryIO) -> Video:
        return Video(stream, bundle=self._bundle)

    def _encode(
        self,
        clip: Path,
        point: float,
        sink: BinaryIO,
        frames: int | None,
        pictures: Callable[[int, Planes], None] | None = None,
    ) -> float:
        """Write the .calo file; the estimated bits."""
        with open_video(clip, frames=frames) as opened:
            info = Clip(opened.width, opened.height, opened.rate, opened.ticks, opened.colour)
            encoder = VideoEncoder(self._bundle, info, self._structure, self._period, False, self._effort)
            for _ in encoder.encode(opened.frames(), Constant(point), sink, pictures=pictures):
                pass
        return encoder.estimated_bits


def differing_in_planes(a: Planes, b: Planes) -> int:
    """Luma pixels of two 4:2:0 frames of one size at which a sample of any plane differs."""
    y, u, v = (x != z for x, z in zip(a, b, strict=True))
    if not (y.any() or u.any() or v.any()):
        return 0
    return int((y | (u | v).repeat(2, 0).repeat(2, 1)[: y.shape[0], : y.shape[1]]).sum())


def _put(stream: BinaryIO, planes: Planes) -> None:
    for plane in planes:
        stream.write(plane.tobytes())


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> dict[str, float]:
    total, cpu = (now - then for now, then in zip(_clock(), start, strict=True))
    return {"total": total, "cpu": cpu}
