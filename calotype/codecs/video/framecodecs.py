"""Which codec of single frames a model of clips has. A new one is one line here."""

from __future__ import annotations

from ...models.overfit.videobundle import OverfitVideoBundle
from ...models.videobundle import VideoBundle
from .. import overfit
from ..header import Colour
from ..image import EFFORT
from .frames import FrameCodec
from .gridframes import GridFrameCodec

ClipBundle = VideoBundle | OverfitVideoBundle
FRAME_CODECS = {"video": (VideoBundle, FrameCodec), "overfit-video": (OverfitVideoBundle, GridFrameCodec)}  # by codec id


def codec_id(bundle: ClipBundle) -> str:
    """What the header of a clip of that model names as its codec."""
    return next(name for name, (kind, _) in FRAME_CODECS.items() if isinstance(bundle, kind))


def default_effort(bundle: ClipBundle) -> int:
    """Of the encoder."""
    return EFFORT if isinstance(bundle, VideoBundle) else overfit.EFFORT


def keeps_chroma(bundle: ClipBundle) -> bool:
    """Whether it codes 4:4:4, as which RGB comes, too; others code all as 4:2:0."""
    return "444" in FRAME_CODECS[codec_id(bundle)][1].chromas


def frame_codec(bundle: ClipBundle, colour: Colour, effort: int = EFFORT) -> FrameCodec | GridFrameCodec:
    """colour: of the planes, 8-bit, of the codec's `chromas`. Raises UsageError for others."""
    return FRAME_CODECS[codec_id(bundle)][1](bundle, colour, effort)  # type: ignore[arg-type]
