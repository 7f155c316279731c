"""A Stable-Diffusion-class model of the user's in the place of the shipped net: one call of its U-Net.

Taken: a decoded picture counts as a latent at some time of the diffusion, the earlier the more bits it took (OSCAR, arXiv
2505.16091); fidelity by the decoded picture (SODEC). Different: nothing is trained, so noise of that time is added, as
SDEdit does (arXiv 2108.01073), and low frequencies stay the decoded picture's.

    m --encoder--> z, noise of time realism * pseudo_time --U-Net, empty prompt--> z --decoder--> x --> x + low(m - x)

Needs the extra [diffusion]. Weights are read from a folder as diffusers writes them, and nothing is fetched.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ModelError, UsageError
from .dial import QUALITIES, SCALES
from .net import Setting

TIME_LOW, TIME_HIGH = 60, 300  # of 1000, at the highest and at the lowest rate; by the size of errors, not tuned
MEAN_CELL = 16  # pixels of a cell whose mean is a low frequency


def pseudo_time(scale: int, quality: float) -> int:
    """The time that a picture counts as, coded at 1 / scale of its size at the image model's quality 0..300; realism 1."""
    place = (SCALES - scale + quality / QUALITIES) / SCALES
    return round(TIME_HIGH + (TIME_LOW - TIME_HIGH) * place)


class Backbone:
    """Called as `net.Denoiser`; sides may be any multiples of 8."""

    def __init__(self, unet: Any, vae: Any, alphas: Tensor, prediction: str, prompt: Tensor):
        """unet: UNet2DConditionModel; vae: AutoencoderKL; alphas: cumulative, of each time; prediction: "epsilon", "sample" or
        "v_prediction"; prompt (1, tokens, C). Raises ModelError for models that do not go together."""
        self.unet, self.vae, self.alphas, self.prediction, self.prompt = unet, vae, alphas, prediction, prompt
        channels, given = unet.config.in_channels, vae.config.latent_channels
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        if channels != given or channels > 3 * self.factor**2 or prediction not in ("epsilon", "sample", "v_prediction"):
            raise ModelError(f"a U-Net of {channels} channels, an autoencoder of {given}, prediction '{prediction}': no pair")
        self.multiple = self.factor * 2 ** (len(unet.config.block_out_channels) - 1)

    @staticmethod
    def read(folder: Path, device: str = "cpu") -> Backbone:
        """A folder of a StableDiffusionPipeline: unet, vae, scheduler, text_encoder, tokenizer. Raises UsageError without the
        extra, ModelError."""
        try:
            from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
            from transformers import CLIPTextModel, CLIPTokenizer
        except ImportError as error:
            raise UsageError(f"a backbone needs the extra [diffusion]: pip install 'calotype[diffusion]' ({error})") from error
        try:
            local = {"local_files_only": True}
            unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **local)
            vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", **local)
            scheduler = DDPMScheduler.from_pretrained(folder, subfolder="scheduler", **local)
            tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer", **local)
            text = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder", **local)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder} holds no whole Stable Diffusion pipeline ({error})") from error
        with torch.inference_mode():
            tokens = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
            prompt = text.eval()(tokens.input_ids)[0]
        for part in (unet, vae):
            part.eval().requires_grad_(False).to(device)
        kind = scheduler.config.prediction_type
        return Backbone(unet, vae, scheduler.alphas_cumprod.to(device), kind, prompt.to(device))

    def __call__(self, given: Tensor, state: Tensor, setting: Setting) -> Tensor:
        """given (1, 3, H, W) in [0, 1]; state (1, 3, H, W): noise times realism -> (1, 3, H, W), not clipped."""
        scale, quality, realism = (float(v[0]) for v in (setting.scale, setting.quality, setting.realism))
        time = round(realism * pseudo_time(int(scale), quality))
        if time == 0:
            return given
        height, width = given.shape[2:]
        more = (0, -width % self.multiple, 0, -height % self.multiple)
        m, noise = (F.pad(v, more, mode="replicate") for v in (given, state / realism))
        gain = float(self.alphas[min(time, len(self.alphas) - 1)])
        signal, spread = math.sqrt(gain), math.sqrt(1 - gain)
        z = self.vae.encode(m * 2 - 1).latent_dist.mode() * self.vae.config.scaling_factor
        x = signal * z + spread * F.pixel_unshuffle(noise, self.factor)[:, : z.shape[1]]
        said = self.unet(x, time, encoder_hidden_states=self.prompt).sample
        if self.prediction == "epsilon":
            said = (x - spread * said) / signal
        elif self.prediction == "v_prediction":
            said = signal * x - spread * said
        made = (self.vae.decode(said / self.vae.config.scaling_factor).sample + 1) / 2
        return (made + _low(m - made))[:, :, :height, :width]


def _low(x: Tensor) -> Tensor:
    """Means over cells, linear in between; sides: multiples of the cell, or one cell."""
    cells = [max(side // MEAN_CELL, 1) for side in x.shape[2:]]
    return F.interpolate(F.adaptive_avg_pool2d(x, cells), x.shape[2:], mode="bilinear")
