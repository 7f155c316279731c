"""How a report writes the names of metrics."""

from __future__ import annotations

from calotype.eval.bdrate import scale_of

LABELS = {
    "psnr_rgb": "PSNR RGB",
    "psnr_y": "PSNR Y",
    "psnr_u": "PSNR U",
    "psnr_v": "PSNR V",
    "psnr_611": "PSNR 6:1:1",
    "ssim_rgb": "SSIM RGB",
    "ms_ssim_rgb": "MS-SSIM RGB",
    "ms_ssim_y": "MS-SSIM Y",
    "vmaf": "VMAF",
    "xpsnr_y": "XPSNR Y",
    "xpsnr_u": "XPSNR U",
    "xpsnr_v": "XPSNR V",
    "ssimulacra2": "SSIMULACRA2",
    "lpips_alex": "LPIPS (Alex)",
    "dists": "DISTS",
    "squeeze_distance": "SqueezeNet distance",
    "fid": "FID",
    "kid": "KID",
    "squeeze_kid": "SqueezeNet KID-like",
}
# in this order a report shows them; others come after
ORDER = ("psnr_rgb", "psnr_611", "psnr_y", "ms_ssim_rgb", "ms_ssim_y", *LABELS)


def label_of(metric: str) -> str:
    """As a heading has it."""
    return LABELS.get(metric, metric.replace("_", " "))


def axis_of(metric: str) -> str:
    """As an axis has it, with the unit in which curves are drawn and compared."""
    unit = scale_of(metric).unit
    negated = scale_of(metric).of(1.0) < 0
    return f"{'−' if negated else ''}{label_of(metric)}{' (dB)' if unit else ''}"


def in_order(metrics: set[str]) -> list[str]:
    """Usual ones first."""
    return sorted(metrics, key=lambda metric: (ORDER.index(metric) if metric in ORDER else len(ORDER), metric))
