"""The float net of a model file, as encoders and generative decoders run it. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from .. import threads
from ..errors import ModelError

Net = TypeVar("Net", bound=nn.Module)


def float_net(make: Callable[[], Net], floats: Mapping[str, np.ndarray], model: str, what: str, device: str) -> Net:
    """What `make` makes, with floats by name as its weights, which are constants. model, what: for the error, as "an encoder".
    Raises ModelError where weights are missing."""
    threads.apply()
    # whoever asks first: of what is made in inference mode no gradients can be had. Not on the meta device: that imports
    # torch._dynamo, 3 s
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        net = make()
        try:
            net.load_state_dict({k: torch.from_numpy(np.array(v, np.float32)) for k, v in floats.items()})
        except RuntimeError as e:
            raise ModelError(f"model '{model}' does not hold all weights of {what} ({e}); export it again") from e
        return net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
