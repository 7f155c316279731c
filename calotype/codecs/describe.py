"""What a stream says of itself, as plain values. No numpy, no torch: `calotype info` starts at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .container import Chunk, Container


def describe(stream: Container) -> dict[str, Any]:
    """Header, chunk list and sizes of a read container, JSON-able. Of a video the chunks are summed up, by kind, and "clip"
    says what `describe_clip` gives. Raises CorruptStreamError."""
    header = stream.header
    clip = describe_clip(stream) if header.media == "video" else None
    frames = clip["frames"] if clip else header.frames
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
        "frames": frames,
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
        "bpp": round(8 * total / (header.width * header.height * max(frames, 1)), 4),
        "truncated": stream.truncated,
        "chunks": _by_kind(stream) if clip else [_size(chunk) for chunk in stream.chunks],
    } | ({"clip": clip} if clip else {}) | ({header.codec: PARTS[header.codec](stream)} if header.codec in PARTS else {})


def _overfit(stream: Container) -> dict[str, Any]:
    """step: in levels; network_bytes, latent_bytes: of a picture's own. Empty where its chunk is not there. Raises
    CorruptStreamError."""
    from .container import SYMBOL_HASH_BYTES, TILE
    from .header import decode_varint

    found: dict[str, Any] = {}
    for payload in stream.payloads(TILE)[:1]:
        view, at = memoryview(payload), SYMBOL_HASH_BYTES
        length, end = decode_varint(view, at + 2, 32)
        step = int.from_bytes(view[at : at + 2], "little")
        found = {"step": step / 64, "network_bytes": length, "latent_bytes": len(view) - end - length}
    return found


def _bitplane(stream: Container) -> dict[str, Any]:
    """network_bytes, bit_bytes: of the weights, and of the bits given them. Empty where the chunk is not there. Raises
    CorruptStreamError."""
    from .container import SYMBOL_HASH_BYTES, TILE
    from .header import decode_varint

    found: dict[str, Any] = {}
    for payload in stream.payloads(TILE)[:1]:
        view, at, length = memoryview(payload), SYMBOL_HASH_BYTES, 0
        for _ in range(5):  # four of the plan, then the length
            length, at = decode_varint(view, at, 32)
        found = {"network_bytes": length, "bit_bytes": len(view) - at - length}
    return found


def _fsq(stream: Container) -> dict[str, Any]:
    """channels: that were coded. Empty where the chunk is not there."""
    from .container import SYMBOL_HASH_BYTES, TILE

    tiles = [payload for payload in stream.payloads(TILE) if len(payload) > SYMBOL_HASH_BYTES]
    return {"channels": tiles[0][SYMBOL_HASH_BYTES]} if tiles else {}


def _generative(stream: Container) -> dict[str, Any]:
    """noise_path: steps, indices and bytes of coded noise, in words. Empty where there is none. Raises CorruptStreamError."""
    from .container import SYMBOL_HASH_BYTES
    from .header import decode_varint

    found: dict[str, Any] = {}
    for payload in stream.payloads(b"Path")[:1]:
        view, total = memoryview(payload), 0
        steps, at = decode_varint(view, SYMBOL_HASH_BYTES, 32)
        for _ in range(steps):
            _, at = decode_varint(view, at, 32)
            blocks, at = decode_varint(view, at, 32)
            total += blocks
        found = {"noise_path": f"{steps} steps, {total} indices, {len(view)} bytes"}
    return found


PARTS = {"overfit": _overfit, "inr-lossless": _bitplane, "fsq": _fsq, "generative": _generative}  # by codec: what a chunk holds


def describe_clip(stream: Container) -> dict[str, Any]:
    """frames, segments and seconds that are there, the second at which each segment's intra frame is due, frames and bytes of
    each kind of frame, bytes and streams of audio, kbit/s (1000) of the whole file. Raises CorruptStreamError."""
    from .neural.grouphead import CODEC, describe_groups

    if stream.header.codec == CODEC:
        return describe_groups(stream)
    from .video.audio import AudioDescription
    from .video.framehead import KINDS
    from .video.packs import frames_of
    from .video.stream import AUDIO, AUDIO_HEAD
    from .video.timeline import Timeline, tick_rate

    timeline, (num, den) = Timeline(stream.header), tick_rate(stream.header)
    intra, kinds = list[float](), {kind: {"frames": 0, "bytes": 0} for kind in KINDS}
    for head, size, _ in frames_of(stream.chunks, timeline):
        kinds[head.kind]["frames"] += 1
        kinds[head.kind]["bytes"] += size
        if head.kind == "I":
            intra.append(round(timeline.start * den / num, 3))
    sound = [one for head in stream.payloads(AUDIO_HEAD)[:1] for one in AudioDescription.from_bytes(head).streams]
    seconds = timeline.duration * den / num
    return {
        "frames": timeline.frames,
        "segments": kinds["I"]["frames"],
        "seconds": round(seconds, 3),
        "intra": intra,
        "kinds": {kind: counts for kind, counts in kinds.items() if counts["frames"]},
        "audio_bytes": sum(len(payload) for kind in (AUDIO_HEAD, AUDIO) for payload in stream.payloads(kind)),
        "audio": [{"codec": one.codec, "sample_rate": one.sample_rate, "channels": one.channels} for one in sound],
        "kbps": round(stream.size * 8 / 1000 / seconds, 3) if seconds else None,
    }


def _size(chunk: Chunk) -> dict[str, Any]:
    return {"kind": chunk.kind.decode("ascii"), "bytes": len(chunk.payload)}


def _by_kind(stream: Container) -> list[dict[str, Any]]:
    counts = Counter(chunk.kind for chunk in stream.chunks)
    return [
        {"kind": kind.decode("ascii"), "count": count, "bytes": sum(map(len, stream.payloads(kind)))}
        for kind, count in counts.items()
    ]
