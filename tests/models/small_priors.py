"""Configurations of small priors: one of the shipped kind, and one of every kind."""

from __future__ import annotations

from calotype.models.plans import KINDS
from calotype.models.priorgraph import PriorConfig

SMALL = PriorConfig(latents=16, side=8, hidden=16)
EVERY = [PriorConfig(20, 8, 16, kind, ahead) for kind in KINDS for ahead in (False, True)]
