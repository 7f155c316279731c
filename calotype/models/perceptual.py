"""How unlike two pictures look to SqueezeNet 1.1 (Iandola et al. 2016, arXiv 1602.07360): for training, and as a metric.

Made as LPIPS is (Zhang et al. 2018, arXiv 1801.03924): features of unit length at each place, squared differences, means over
places. It is not LPIPS: there are no learnt weights of channels, all seven layers count alike. Its figures are to be compared
with one another only.

    x (B, 3, H, W) --conv /2, fire modules, pools--> 7 taps (B, 64..512, H/2..H/16, W/2..W/16) --> per picture, one number
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as the weights were trained
FIRES = {3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128)} | {
    9: (256, 48, 192),
    10: (384, 48, 192),
    11: (384, 64, 256),
    12: (512, 64, 256),
}  # layer: channels in, squeezed, of each expansion
POOLS, TAPS = (2, 5, 8), (0, 4, 7, 9, 10, 11, 12)
SIDE_MIN = 17  # pixels; of less the last pool leaves nothing
TAP_WIDTHS = (64, 128, 256, 384, 384, 512, 512)


class Fire(nn.Module):
    """Squeeze by 1x1, expand by 1x1 and 3x3."""

    def __init__(self, width: int, squeezed: int, expanded: int):
        super().__init__()
        self.squeeze = nn.Conv2d(width, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 2 * expanded, h, w)."""
        x = F.relu(self.squeeze(x))
        return torch.cat((F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))), 1)


class SqueezeNet(nn.Module):
    """The features of SqueezeNet 1.1, frozen; names are torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict({"0": nn.Conv2d(3, 64, 3, stride=2)} | {str(k): Fire(*v) for k, v in FIRES.items()})
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)

    @staticmethod
    def read(path: Path) -> SqueezeNet:
        """From a safetensors file of torchvision's names; its classifier is left out. Raises ModelError."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        net = SqueezeNet()
        try:
            stored = load_file(path)
            net.load_state_dict({k: v.float() for k, v in stored.items() if k.startswith("features.")})
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelError(f"{path} does not hold the weights of SqueezeNet 1.1 ({error})") from error
        return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (B, 3, H, W) in [0, 1] -> the taps, each of unit length over channels."""
        x, found = (x - self.mean) / self.deviation, []
        for layer in range(TAPS[-1] + 1):
            if layer in POOLS:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            elif layer == 0:
                x = F.relu(self.features["0"](x))
            elif str(layer) in self.features:
                x = self.features[str(layer)](x)
            if layer in TAPS:
                found.append(F.normalize(x.float(), dim=1, eps=1e-6))
        return found


def distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """The distance (B,) of pictures given by their taps: 0 to 4, small where they look alike."""
    return torch.stack([(x - y).square().sum(1).mean((1, 2)) for x, y in zip(a, b, strict=True)]).mean(0)


def pooled(taps: list[Tensor]) -> Tensor:
    """What patches look like, wherever in them: means of the taps over places, (B, 2240), all seven of equal weight, and such
    that x y / 2240 of two patches is at most 1."""
    means = torch.cat([t.mean((2, 3)) for t in taps], 1)
    return means * (means.shape[1] / len(taps)) ** 0.5
