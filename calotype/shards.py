"""Stable parts of a set of names: which part a name is in depends on the name alone, not on what else there is."""

from __future__ import annotations

import hashlib


def in_shard(name: str, index: int, count: int) -> bool:
    """Whether `name` is in part `index` (0 .. count - 1): SHA-256 of its UTF-8, modulo count."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % count == index
