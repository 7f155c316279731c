"""What a stream says of itself, as plain values. No numpy, no torch: `calotype info` starts at once."""

from __future__ import annotations

from typing import Any

from .container import Container


def describe(stream: Container) -> dict[str, Any]:
    """Header, chunk list and sizes of a read container, JSON-able."""
    header = stream.header
    payload = sum(len(chunk.payload) for chunk in stream.chunks)
    total = stream.size
    return {
        "media": header.media,
        "codec": header.codec,
        "model": header.model,
        "model_hash": header.model_hash.hex(),
        "version": header.version,
        "width": header.width,
        "height": header.height,
        "frames": header.frames,
        "rate": list(header.rate),
        "colour": {
            "matrix": header.colour.matrix,
            "range": header.colour.range,
            "chroma": header.colour.chroma,
            "depth": header.colour.depth,
        },
        "params": dict(header.params),
        "bytes": total,
        "overhead": total - payload,
        "bpp": round(8 * total / (header.width * header.height * header.frames), 4),
        "truncated": stream.truncated,
        "chunks": [{"kind": chunk.kind.decode("ascii"), "bytes": len(chunk.payload)} for chunk in stream.chunks],
    }
