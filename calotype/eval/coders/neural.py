"""Our codec of clips with their own networks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from calotype.codecs.neural.codec import NeuralVideo
from calotype.codecs.neural.encoder import EFFORT, Settings, encode_clip
from calotype.codecs.neural.grouphead import CODEC, NEWEST
from calotype.codecs.video.media_in import open_video
from calotype.codecs.y4m import Planes
from calotype.errors import UsageError
from calotype.eval.coders import base
from calotype.eval.coders.ours_video import RATE, TIMING, ClipCoder
from calotype.eval.frames import CLIP


class NeuralCoder(ClipCoder):
    """Each clip is fitted once a point."""

    synopsis = f"{CODEC}[:hnerv|:nirvana][:e0..e9]"
    kinds = (CLIP,)
    points: tuple[float, ...] = (20, 40, 60, 80)

    def __init__(self, net: str, effort: int = EFFORT, device: str = "cpu"):
        """net: a name in NETS."""
        self._net, self._effort, self._device = net, effort, device
        self._cold = True
        self.label = f"{CODEC}:{net}" + (f":e{effort}" if effort != EFFORT else "")

    @staticmethod
    def from_spec(options: list[str], settings: base.Settings) -> NeuralCoder:
        """inr-video, with a network and the effort. Raises UsageError."""
        rest, effort = list(options), EFFORT
        if rest and re.fullmatch("e[0-9]", rest[-1]):
            effort = int(rest.pop()[1:])
        net = rest.pop() if rest else next(iter(NEWEST))
        if rest or net not in NEWEST:
            raise UsageError(f"no codec {CODEC}:{':'.join(options)}; it is {NeuralCoder.synopsis}")
        return NeuralCoder(NEWEST[net], effort, settings.device)

    @property
    def identity(self) -> dict[str, str | float]:
        """Codec, network, effort."""
        return {"codec": CODEC, "model": self._net, "effort": self._effort, "rate": RATE, "timing": TIMING}

    def _open(self, stream: Path | BinaryIO) -> NeuralVideo:  # type: ignore[override]
        return NeuralVideo(stream)

    def _encode(
        self,
        clip: Path,
        point: float,
        sink: BinaryIO,
        frames: int | None,
        pictures: Callable[[int, Planes], None] | None = None,
    ) -> float:
        effort = self._effort if frames is None else 0  # a few frames are asked for to warm up
        with open_video(clip, frames=frames) as opened:
            coded = encode_clip(opened, Settings(self._net, point, effort, None, self._device), None, None, pictures)
        sink.write(coded.data)
        return coded.bits
