"""Distances between pictures and between clips. Each states its convention, to be printed beside its figures.

A new metric is one file here with a class that fits `metric.Metric`, and one line in METRICS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calotype.errors import UsageError
from calotype.eval.metrics.ffmpeg import DEFAULT_RATE, FfmpegMetric, Pipe, Vmaf, Xpsnr
from calotype.eval.metrics.learned import Dists, LpipsAlex
from calotype.eval.metrics.metric import CLIP, PICTURE, Frame, FrameMetric, Frames, Metric, MetricError, mean, pairs, size_of
from calotype.eval.metrics.psnr import Psnr611, PsnrPlane, PsnrRgb, differing_pixels, mse_rgb, psnr_of, psnr_planes, psnr_rgb
from calotype.eval.metrics.sets import SETS
from calotype.eval.metrics.squeeze import SqueezeDistance
from calotype.eval.metrics.ssim import MsSsim, Ssim
from calotype.eval.metrics.ssimulacra2 import Ssimulacra2

__all__ = [
    "CONVENTIONS",
    "DEFAULTS",
    "METRICS",
    "Frame",
    "Measured",
    "Metric",
    "MetricError",
    "differing_pixels",
    "find",
    "measure",
    "mse_rgb",
    "psnr_of",
    "psnr_planes",
    "psnr_rgb",
]

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        PsnrRgb(),
        *map(PsnrPlane, range(3)),
        Psnr611(),
        *map(Ssim, ("rgb", "y")),
        *map(MsSsim, ("rgb", "y")),
        Vmaf(),
        *map(Xpsnr, range(3)),
        Ssimulacra2(),
        LpipsAlex(),
        Dists(),
        SqueezeDistance(),
    )
}
CONVENTIONS = {name: metric.convention for name, metric in METRICS.items()}
DEFAULTS = {
    PICTURE: ("psnr_rgb", "ms_ssim_rgb"),
    CLIP: ("psnr_y", "psnr_u", "psnr_v", "psnr_611", "ms_ssim_y"),
}
ALL = "all"


@dataclass(frozen=True)
class Measured:
    """values: {name: figure, or None}; notes: why a None is one, by name."""

    values: dict[str, float | None]
    notes: dict[str, str]


def find(names: Sequence[str] | str | None, kind: str) -> tuple[list[Metric], dict[str, str]]:
    """The metrics of those names that measure a "picture" or "clip", in METRICS' order, and {name: why one cannot be had}.

    names: one or more; None for the cheap DEFAULTS; "all" among them for everything of this kind. A metric of the other kind is
    among the reasons. What measures whole sets (`sets`) is passed over. Raises UsageError for an unknown name.
    """
    if kind not in DEFAULTS:
        raise UsageError(f"there is no kind '{kind}'; metrics measure a {PICTURE} or a {CLIP}")
    wanted = set(DEFAULTS[kind] if names is None else [names] if isinstance(names, str) else names)
    unknown = sorted(wanted - METRICS.keys() - SETS.keys() - {ALL})
    if unknown:
        raise UsageError(f"there is no metric '{unknown[0]}'; there are {', '.join([*METRICS, *SETS])}, and {ALL}")
    found, reasons = [], {}
    for name, metric in METRICS.items():
        if kind not in metric.kinds:
            if name in wanted:
                reasons[name] = f"{name} measures a {' or '.join(metric.kinds)}, not a {kind}"
        elif name in wanted or ALL in wanted:
            reason = metric.unavailable()
            if reason:
                reasons[name] = reason
            else:
                found.append(metric)
    return found, reasons


def measure(metrics: Sequence[Metric], reference: Frames, decoded: Frames) -> Measured:
    """Several metrics in one pass over the frames, as each one's measure() would give them.

    A backend that fails makes its metrics None, with a note. Raises UsageError for frames that cannot be compared.
    """
    of_frames = [metric for metric in metrics if isinstance(metric, FrameMetric)]
    piped = [metric for metric in metrics if isinstance(metric, FfmpegMetric)]
    collected: dict[str, list[float]] = {metric.name: [] for metric in of_frames}
    values: dict[str, float | None] = {metric.name: None for metric in metrics}
    notes: dict[str, str] = {}
    pipe = None
    kinds = [kind for kind in (PICTURE, CLIP) if all(kind in metric.kinds for metric in metrics)]
    if not kinds:
        raise UsageError(f"no frames suit all of {', '.join(values)}: some measure pictures, some clips")
    try:
        for number, (a, b) in enumerate(pairs(reference, decoded, kinds)):
            if not number:
                limits = {metric.name: metric.limit(*size_of(a)) for metric in metrics}
                notes = {name: reason for name, reason in limits.items() if reason}
                of_frames = [metric for metric in of_frames if metric.name not in notes]
            try:
                if piped and not number:
                    pipe = Pipe(piped, a, getattr(reference, "rate", DEFAULT_RATE))
                if pipe:
                    pipe.write(a, b)
            except MetricError as error:
                notes |= {metric.name: str(error) for metric in piped}
                pipe = _stopped(pipe)
            for metric in of_frames:
                collected[metric.name].append(metric.of_frame(a, b))
        if pipe:
            try:
                values |= pipe.close()
            except MetricError as error:
                notes |= {metric.name: str(error) for metric in piped}
    finally:
        _stopped(pipe)
    values |= {metric.name: mean(collected[metric.name]) for metric in of_frames}
    infinite = {name: "not finite, as a frame equals its source" for name, value in values.items() if value is None}
    return Measured(values, infinite | notes)


def _stopped(pipe: Pipe | None) -> None:
    if pipe:
        pipe.stop()
