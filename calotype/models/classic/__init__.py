"""The classic learned image models, with CompressAI's parameter names: one file a method, one rate a checkpoint."""

from __future__ import annotations
