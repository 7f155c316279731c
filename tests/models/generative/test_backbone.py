"""A Stable-Diffusion-class model in the place of the net: read as diffusers writes it, one call, no surprise at the ends."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tinypipeline import write_pipeline

from calotype.errors import ModelError
from calotype.models.generative.backbone import Backbone, _low, pseudo_time
from calotype.models.generative.net import Setting


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pipeline(tmp_path_factory.mktemp("pipelines") / "tiny")


@pytest.fixture(scope="module")
def backbone(folder):
    return Backbone.read(folder)


def called(backbone, height, width, realism, quality=0.0):
    torch.manual_seed(1)
    given, noise = torch.rand(1, 3, height, width), torch.randn(1, 3, height, width)
    with torch.inference_mode():
        return given, backbone(given, realism * noise, Setting.of(1, 1, quality, realism))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (64, 48), (40, 104)])
def test_sides_of_any_multiple_of_eight_come_back_as_they_went(backbone, height, width) -> None:
    given, made = called(backbone, height, width, 1.0)
    assert made.shape == given.shape and made.isfinite().all() and not torch.equal(made, given)


def test_at_realism_0_the_decoded_picture_is_left_alone(backbone) -> None:
    given, made = called(backbone, 32, 32, 0.0)
    assert torch.equal(made, given)


def test_the_same_noise_gives_the_same_picture(backbone) -> None:
    assert torch.equal(called(backbone, 48, 32, 0.7)[1], called(backbone, 48, 32, 0.7)[1])


def test_the_u_net_is_called_once_and_told_of_the_rate(backbone, monkeypatch) -> None:
    times = []
    forward = backbone.unet.forward
    monkeypatch.setattr(backbone.unet, "forward", lambda x, time, **rest: times.append(time) or forward(x, time, **rest))
    called(backbone, 32, 32, 1.0, quality=0.0)
    called(backbone, 32, 32, 1.0, quality=300.0)
    called(backbone, 32, 32, 0.5, quality=300.0)
    assert times[0] > times[1] == pseudo_time(1, 300) > times[2]


def test_fewer_bits_are_more_time() -> None:
    times = [pseudo_time(scale, quality) for scale in (3, 2, 1) for quality in (0, 150, 300)]
    assert times == sorted(times, reverse=True) and times[0] > times[-1] > 0


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_what_it_predicts_is_turned_into_the_latent_of_the_same_picture(backbone, prediction) -> None:
    """A U-Net that predicts perfectly gives back what the autoencoder makes of the decoded picture, but for low frequencies."""
    given, noise = torch.rand(1, 3, 64, 64), torch.randn(1, 3, 64, 64)
    setting, time = Setting.of(1, 1, 0.0, 1.0), pseudo_time(1, 0)
    signal, spread = backbone.alphas[time].sqrt(), (1 - backbone.alphas[time]).sqrt()
    z = backbone.vae.encode(given * 2 - 1).latent_dist.mode() * backbone.vae.config.scaling_factor
    of_latent = torch.nn.functional.pixel_unshuffle(noise, 8)[:, :4]
    right = {"epsilon": of_latent, "sample": z, "v_prediction": signal * of_latent - spread * z}[prediction]

    class Knowing(torch.nn.Module):
        config = backbone.unet.config

        def forward(self, x, time, encoder_hidden_states):
            return type("Output", (), {"sample": right})

    with torch.inference_mode():
        made = Backbone(Knowing(), backbone.vae, backbone.alphas, prediction, backbone.prompt)(given, noise, setting)
        plain = (backbone.vae.decode(z / backbone.vae.config.scaling_factor).sample + 1) / 2
    assert torch.allclose(made, plain + _low(given - plain), atol=1e-4)


def test_folders_without_a_pipeline_and_models_that_do_not_fit_are_refused(tmp_path) -> None:
    with pytest.raises(ModelError, match="no whole Stable Diffusion pipeline"):
        Backbone.read(tmp_path)
    with pytest.raises(ModelError, match="no pair"):
        Backbone.read(write_pipeline(tmp_path / "odd", latents=3))
