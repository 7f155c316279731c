"""SSIM (Wang et al. 2004, doi 10.1109/TIP.2003.819861) and MS-SSIM (Wang et al. 2003, doi 10.1109/ACSSC.2003.1292216).

Both by the package pytorch-msssim, whose MS-SSIM is the one in which papers on learned compression give theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calotype.eval.metrics.metric import CLIP, PICTURE, Frame, FrameMetric

if TYPE_CHECKING:
    import torch

WINDOW = 11
# the window must fit after four halvings: pytorch-msssim refuses a side of (11 - 1) * 2**4 = 160 or less
MS_SSIM_SIDE = (WINDOW - 1) * 2**4 + 1
KINDS = {"rgb": PICTURE, "y": CLIP}
WHERE = {"rgb": "of 8-bit RGB, mean of the three channels", "y": "of the 8-bit Y plane of 4:2:0, mean over frames"}
WITH = "Gaussian window 11, sigma 1.5, K 0.01 and 0.03, data range 255, no padding, float32"


class Similarity(FrameMetric):
    """channels: "rgb" (pictures) or "y" (clips)."""

    side: int

    def __init__(self, channels: str) -> None:
        self.kinds = (KINDS[channels],)

    def unavailable(self) -> str | None:
        try:
            import pytorch_msssim  # noqa: F401
        except (ImportError, OSError, RuntimeError) as error:
            return f"pytorch-msssim cannot be imported ({error}); install it with `pip install calotype[metrics]`"
        return None

    def limit(self, width: int, height: int) -> str | None:
        if min(width, height) >= self.side:
            return None
        return f"{self.name} needs {self.side} samples or more in width and height, not {width}x{height}"


class Ssim(Similarity):
    side = WINDOW

    def __init__(self, channels: str) -> None:
        super().__init__(channels)
        self.name = f"ssim_{channels}"
        self.convention = f"SSIM (pytorch-msssim) {WHERE[channels]}; {WITH}; null below {WINDOW} samples a side"

    def of_frame(self, a: Frame, b: Frame) -> float:
        from pytorch_msssim import ssim

        return float(ssim(_tensor(a), _tensor(b), data_range=255))


class MsSsim(Similarity):
    side = MS_SSIM_SIDE

    def __init__(self, channels: str) -> None:
        super().__init__(channels)
        self.name = f"ms_ssim_{channels}"
        self.convention = (
            f"MS-SSIM (pytorch-msssim) {WHERE[channels]}; 5 scales of weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333; "
            f"{WITH}; null below {MS_SSIM_SIDE} samples a side"
        )

    def of_frame(self, a: Frame, b: Frame) -> float:
        from pytorch_msssim import ms_ssim

        return float(ms_ssim(_tensor(a), _tensor(b), data_range=255))


def _tensor(frame: Frame) -> torch.Tensor:
    """(1, 3, H, W) of a picture, (1, 1, H, W) of a clip's frame, float32 in [0, 255]."""
    import torch

    samples = frame[0][None] if isinstance(frame, tuple) else frame.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None]
