"""The overfitted codec: what the encoder saw is what decoders show, more effort is never worse, and damage is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calotype
from calotype.codecs import container, overfit, overfitting
from calotype.codecs.overfit import OverfitCodec
from calotype.codecs.registry import open_model, open_stream
from calotype.codecs.roi import Roi
from calotype.codecs.targets import Target, encode_to, psnr
from calotype.errors import CalotypeError, CorruptStreamError, DesyncError, LimitError, ModelError, UsageError
from calotype.models.imageconfig import LMBDA
from calotype.models.overfit import live
from calotype.models.overfit.side import Side

ROOT = Path(__file__).parents[2]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Shapes, a ramp and noise; (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    disc = 90 * ((x - width // 2) ** 2 + (y - height // 3) ** 2 < (min(height, width) // 3) ** 2)
    planes = [(3 * x + y) % 200, 220 - x - disc % 256, 60 + disc + y // 2]
    return np.clip(np.stack(planes, -1) + rng.integers(-5, 6, (height, width, 3)), 0, 255).astype(np.uint8)


@cache
def small() -> bytes:
    """A stream of a small picture."""
    return OverfitCodec(open_model("overfit").bundle, effort=1).encode(picture(40, 33), 40).data


def decode(data: bytes, **options: object) -> np.ndarray:
    stream, codec = open_stream(data, **options)  # type: ignore[arg-type]
    return codec.decode(stream).pixels


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 1000), st.integers(0, 2), st.integers(0, 99))
def test_the_encoders_reconstruction_is_the_decoders_at_any_size_quality_and_effort(
    height: int, width: int, deci: int, effort: int, seed: int
) -> None:
    pixels = picture(height, width, seed)
    encoded = open_model("overfit", effort=effort).encode(pixels, deci / 10, reconstruct=True)
    assert np.array_equal(decode(encoded.data), encoded.reconstruction)
    assert encoded.reconstruction.shape == pixels.shape
    assert abs(8 * len(encoded.data) - encoded.estimated_bits) <= max(0.01 * encoded.estimated_bits, 8 * 66)


def test_grey_comes_back_near_and_icc_as_it_was() -> None:
    grey = np.repeat(picture(48, 50)[:, :, :1], 3, 2)
    stream, codec = open_stream(open_model("overfit", effort=1).encode(grey, 90, b"profile").data)
    decoded = codec.decode(stream)
    assert decoded.icc == b"profile"
    assert np.abs(decoded.pixels.astype(int) - grey).mean() < 4


def test_more_quality_is_more_bytes_and_less_error() -> None:
    pixels, rows = picture(64, 96), []
    for quality in (0, 50, 100):
        encoded = open_model("overfit", effort=1).encode(pixels, quality, reconstruct=True)
        rows.append((len(encoded.data), -float(np.square(encoded.reconstruction.astype(float) - pixels).mean())))
    assert rows == sorted(rows) and len(set(rows)) == 3


def test_more_effort_never_loses() -> None:
    pixels, losses = picture(64, 48), []
    lmbda = (LMBDA[0] * LMBDA[1]) ** 0.5
    for effort in (0, 2, 4):
        encoded = open_model("overfit", effort=effort).encode(pixels, 50, reconstruct=True)
        mse = float(np.square(encoded.reconstruction.astype(float) - pixels).mean())
        losses.append(encoded.estimated_bits / (64 * 48) + lmbda * mse)
    # the fit's own losses fall; these are of rounded pixels, hence the share
    assert all(b <= 1.005 * a for a, b in zip(losses, losses[1:], strict=False)) and losses[-1] < 0.99 * losses[0]


def test_the_fit_reports_its_progress_and_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[overfit.State] = []
    open_model("overfit", effort=2).encode(picture(40, 40), 50, report=seen.append)
    assert [s.done for s in seen] == list(range(1, overfitting.STARTS[2] + overfitting.ROUNDS[2] + 1)) and seen[-1].left == 0
    assert all(s.total == seen[0].total for s in seen) and seen[-1].bpp > 0
    seen.clear()
    open_model("overfit", minutes=0.001).encode(picture(40, 40), 50, report=seen.append)
    assert len(seen) == 1


@pytest.mark.parametrize("done", [1, 3, overfitting.STARTS[9] + 1])
def test_ctrl_c_gives_the_best_so_far_whole(done: int) -> None:
    def stop(state: overfit.State) -> None:
        if state.done == done:
            raise KeyboardInterrupt

    pixels = picture(40, 40)
    encoded = open_model("overfit", effort=9).encode(pixels, 50, reconstruct=True, report=stop)
    assert np.array_equal(decode(encoded.data), encoded.reconstruction)


def test_every_cut_and_every_flipped_byte_is_a_typed_error() -> None:
    data = small()
    for length in range(0, len(data), 7):
        with pytest.raises(CorruptStreamError):
            decode(data[:length])
    for at in range(len(data)):
        with pytest.raises(CalotypeError):
            decode(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])


def test_other_bytes_under_right_checksums_are_a_desync_or_corrupt() -> None:
    stream = container.read(small())
    (payload,) = stream.payloads(container.TILE)
    for at in range(0, len(payload), 3):
        other = bytes(payload[:at]) + bytes([payload[at] ^ 16]) + bytes(payload[at + 1 :])
        changed = container.write(stream.header, [container.Chunk(container.TILE, other)])
        with pytest.raises((CorruptStreamError, DesyncError)):
            decode(changed)
    cut = container.write(stream.header, [container.Chunk(container.TILE, payload[:-1])])
    with pytest.raises(CorruptStreamError):
        decode(cut)
    hashed = bytes([payload[0] ^ 1]) + bytes(payload[1:])
    with pytest.raises(DesyncError):
        decode(container.write(stream.header, [container.Chunk(container.TILE, hashed)]))


def test_the_hash_tells_which_networks_differ() -> None:
    bundle = open_model("overfit").bundle
    differences = np.arange(32)
    sides = [
        replace(Side.plain(300), networks={name: differences}, strengths=(1, 2, 3))
        for name in ("filter.first_bias", "filter.second_bias")
    ]
    hashes = {container.symbol_hash(overfit.symbols(bundle, [], side)) for side in sides}
    assert len(hashes) == 2


def test_a_move_that_gains_nothing_is_taken_back_and_the_next_is_half_as_long(monkeypatch) -> None:
    fit = overfitting._Fit(open_model("overfit").bundle, picture(96, 64), 400)
    kept, loss = [grid.copy() for grid in fit.grids], fit.loss
    monkeypatch.setattr(overfitting, "RATES", (0.0, *[50.0] * 5))  # far past the best
    assert not fit.improve() and fit.pace == 0.5 and fit.loss == loss
    assert all(np.array_equal(a, b) for a, b in zip(fit.grids, kept, strict=True))
    monkeypatch.undo()
    assert fit.improve() and fit.pace == 0.5 and fit.loss < loss


def test_no_net_is_chosen_that_decodes_in_more_multiplications_than_the_bound(monkeypatch) -> None:
    bundle = open_model("overfit").bundle
    chosen = set()
    for top in (1e9, 2500.0, 1500.0, 1.0):
        monkeypatch.setattr(overfitting, "COST_TOP", top)
        fit = overfitting._Fit(bundle, picture(96, 64), 400)
        prior, costs = live.multiplications(bundle, fit.grids, 96 * 64)
        cost = costs[fit.side.choice]
        assert prior + cost <= top or cost == min(costs)
        chosen.add(cost)
    assert len(chosen) > 1


def test_another_model_parameter_or_number_of_chunks_is_refused() -> None:
    stream = container.read(small())
    for header, error in (
        (replace(stream.header, model_hash=b"\0" * 8), ModelError),
        (replace(stream.header, params=stream.header.params | {"tile_width": 64}), CorruptStreamError),
    ):
        with pytest.raises(error):
            decode(container.write(header, stream.chunks))
    for chunks in ((), stream.chunks * 2):
        with pytest.raises(CorruptStreamError):
            decode(container.write(stream.header, chunks))


def test_large_pictures_are_refused_before_anything_is_held() -> None:
    with pytest.raises(LimitError):
        open_model("overfit").encode(np.zeros((4097, 4096, 3), np.uint8))
    stream = container.read(small())
    with pytest.raises(LimitError):
        decode(container.write(replace(stream.header, width=8192, height=8192), stream.chunks))


@pytest.mark.parametrize(("kind", "value"), [("size", 900), ("bpp", 1.3), ("psnr", 33.0)])
def test_a_target_is_met_from_the_right_side_and_closely(kind: str, value: float) -> None:
    pixels = picture(64, 96)
    encoded = encode_to(open_model("overfit", effort=1), pixels, Target(kind, value), reconstruct=True)
    size = len(encoded.data)
    found = {"size": size, "bpp": 8 * size / pixels[..., 0].size, "psnr": psnr(encoded.reconstruction, pixels)}[kind]
    assert 0.95 * value < found <= value if kind != "psnr" else value <= found < value + 0.2
    assert (decode(encoded.data) == encoded.reconstruction).all()


def test_a_stopped_search_gives_what_met_the_target_or_nothing() -> None:
    pixels = picture(64, 96)

    def stop(state: overfit.State) -> None:
        raise KeyboardInterrupt

    codec = open_model("overfit", effort=1)
    assert len(encode_to(codec, pixels, Target("size", 1 << 20), report=stop).data) < 1 << 14
    with pytest.raises(KeyboardInterrupt):
        encode_to(codec, pixels, Target("psnr", 90.0), report=stop)


def test_what_the_codec_lacks_is_a_usage_error() -> None:
    for options in ({"size": 9}, {"roi": np.zeros((8, 9), np.uint8)}, {"effort": 10}, {"minutes": -1}, {"quality": 101}):
        with pytest.raises(UsageError):
            calotype.encode(picture(8, 8), model="overfit", **options)
    with pytest.raises(UsageError, match="minutes"):
        calotype.encode(picture(8, 8), minutes=1)


def test_decoding_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "a.calo").write_bytes(small())
    code = "import sys; sys.modules['torch'] = None; import calotype; print(calotype.decode(open('a.calo', 'rb').read()).size)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == "(33, 40)", run.stderr


def test_info_says_what_is_inside() -> None:
    inside = calotype.info(small())["overfit"]
    assert inside["step"] > 0 and inside["latent_bytes"] > 0 and inside["network_bytes"] > 0


def masked(height: int, width: int, white: int = 255, black: int = 0) -> np.ndarray:
    """A mask whose left half is white."""
    return np.where(np.arange(width) < width // 2, white, black).astype(np.uint8)[None].repeat(height, 0)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 1000), st.integers(0, 1), st.integers(0, 255))
def test_with_a_mask_the_encoders_reconstruction_is_the_decoders(
    height: int, width: int, deci: int, effort: int, black: int
) -> None:
    roi = Roi(masked(height, width, 255, black), 40)
    encoded = open_model("overfit", effort=effort).encode(picture(height, width), deci / 10, reconstruct=True, roi=roi)
    assert np.array_equal(decode(encoded.data), encoded.reconstruction) and encoded.quality == deci / 10


@pytest.mark.parametrize("model", ["overfit", "overfit-s.2"])
def test_bits_go_where_the_mask_is_white(model: str) -> None:
    pixels, codec = picture(128, 192), open_model(model, effort=2)
    full, low = (codec.encode(pixels, q, reconstruct=True) for q in (80, 30))
    mixed = codec.encode(pixels, 80, reconstruct=True, roi=Roi(masked(128, 192), 50))
    assert len(low.data) < len(mixed.data) < 0.8 * len(full.data)
    inside, outside = (
        [psnr(e.reconstruction[:, part], pixels[:, part]) for e in (full, mixed)] for part in (slice(0, 96), slice(96, None))
    )
    assert inside[1] > inside[0] - 0.7 and outside[1] < outside[0] - 2


def test_an_even_mask_is_another_quality_and_a_white_one_none() -> None:
    pixels, codec = picture(64, 48), open_model("overfit", effort=1)
    payloads = [
        container.read(codec.encode(pixels, q, roi=roi).data).payloads(container.TILE)
        for q, roi in ((40, None), (40, Roi(masked(64, 48, 255, 255))), (70, Roi(masked(64, 48, 0, 0), 30.0)))
    ]
    assert payloads[0] == payloads[1] == payloads[2]


def test_a_size_is_reached_with_a_mask_too() -> None:
    pixels = picture(64, 96)
    encoded = encode_to(open_model("overfit", effort=1), pixels, Target("size", 900), roi=Roi(masked(64, 96), 30))
    assert 855 < len(encoded.data) <= 900


def test_bad_masks_are_usage_errors() -> None:
    for roi in (Roi(masked(8, 9)), Roi(masked(8, 8), 101), Roi(masked(8, 8), -1), Roi(masked(8, 8).astype(float))):
        with pytest.raises(UsageError):
            open_model("overfit", effort=0).encode(picture(8, 8), roi=roi)
