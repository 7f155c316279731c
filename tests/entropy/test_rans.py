"""rANS: lossless for anything, never surprised by any bytes, near the ideal size, and one format."""

from __future__ import annotations

import hashlib
import math

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calotype.entropy import rans
from calotype.entropy.rans import RansDecoder, RansEncoder
from calotype.entropy.reference import ReferenceRansDecoder
from calotype.entropy.tables import TableBank, factorised_bank, gaussian_bank
from calotype.errors import CorruptStreamError, UsageError

BANKS = {
    12: gaussian_bank(precision=12),
    13: gaussian_bank(levels=20, sigma_min=0.3, sigma_max=3000.0, precision=13),
    14: gaussian_bank(precision=14),
    "z": factorised_bank([np.full(n, 0.9 / n) for n in (1, 7, 255, 900)], [0, -3, -100, 5]),
}
INT32 = st.integers(-(2**31), 2**31 - 1)
Push = tuple[TableBank, np.ndarray, np.ndarray, bool]


@st.composite
def pushes(draw: st.DrawFn, most: int = 5) -> list[Push]:
    """A few pushes: mostly small symbols, some of any size, over any of the banks."""
    found = []
    for _ in range(draw(st.integers(0, most))):
        bank = BANKS[draw(st.sampled_from([12, 13, 14, "z"]))]
        pairs = draw(
            st.lists(
                st.tuples(st.one_of(st.integers(-3, 3), INT32, st.just(0)), st.integers(0, len(bank) - 1)), max_size=60
            )
        )
        symbols = np.array([symbol for symbol, _ in pairs], dtype=np.int32)
        indexes = np.array(
            [index for _, index in pairs], dtype=draw(st.sampled_from([np.uint8, np.uint16, np.int32, np.int64]))
        )
        found.append((bank, symbols, indexes, draw(st.booleans())))
    return found


def encode(parts: list[Push], skip: int = 0) -> bytes:
    encoder = RansEncoder()
    for part in parts:
        encoder.push(*part)
    return encoder.finish(skip)


def decode(decoder: RansDecoder | ReferenceRansDecoder, parts: list[Push]) -> list[np.ndarray]:
    symbols = [decoder.pull(bank, indexes, flag) for bank, _, indexes, flag in parts]
    decoder.finish()
    return symbols


def latent(size: int, top: int, seed: int = 0, bank: TableBank = BANKS[12]) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian symbols whose level is uniform in 0..top."""
    rng = np.random.default_rng(seed)
    indexes = rng.integers(0, top, size, endpoint=True).astype(np.uint8)
    return np.rint(rng.normal(size=size) * 0.11 * (256 / 0.11) ** (indexes / 63)).astype(np.int32), indexes


@settings(max_examples=80, deadline=None)
@given(pushes(), st.integers(0, 255))
def test_any_pushes_come_back_from_both_decoders(parts: list[Push], skip: int) -> None:
    data = encode(parts, skip)
    for decoder in (RansDecoder(data), ReferenceRansDecoder(data)):
        for (_, symbols, _, _), pulled in zip(parts, decode(decoder, parts), strict=True):
            assert pulled.dtype == np.int32
            assert (pulled == symbols).all()


@pytest.mark.parametrize("lanes", rans.LANES)
@pytest.mark.parametrize("skip", [0, 9])
def test_every_lane_count_comes_back_from_both_decoders(lanes: int, skip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rans, "_choose_lanes", lambda symbols, size: lanes)
    for bank in BANKS.values():
        symbols, indexes = latent(777, len(bank) - 1)
        symbols[indexes < 9] = 0
        symbols[::50] = (2**31 - 1) * (indexes[::50] >= 9)
        symbols[25::50] = -(2**31) * (indexes[25::50] >= 9)
        cuts = [0, 1, 1, 6, 40, 300, 777]
        parts = [(bank, symbols[a:b], indexes[a:b], True) for a, b in zip(cuts, cuts[1:], strict=False)]
        data = encode(parts, skip)
        for decoder in (RansDecoder(data), ReferenceRansDecoder(data)):
            assert (decoder.lanes, decoder.skip) == (lanes, skip)
            assert (np.concatenate(decode(decoder, parts)) == symbols).all()


def test_pulls_need_not_be_cut_as_the_pushes_were() -> None:
    symbols, indexes = latent(50_000, 35)
    data = encode([(BANKS[12], symbols, indexes, False)])
    whole = RansDecoder(data)
    # Raw bits are read pull by pull and in symbol order, so the cuts do not show.
    parts = [whole.pull(BANKS[12], part) for part in np.array_split(indexes, 11)]
    whole.finish()
    assert whole.lanes > 1 and (np.concatenate(parts) == symbols).all()


def test_joined_encoders_make_the_stream_of_one_and_each_still_its_own() -> None:
    pushes = [(BANKS[12], *latent(n, 30), n > 50) for n in (40, 3, 300)]
    joint, parts = RansEncoder(), []
    for bank, symbols, indexes, scaled in pushes:
        part = RansEncoder()
        part.push(bank, symbols, indexes, scaled)
        joint.extend(part)
        parts.append(part.finish(2))
    assert joint.finish(2) == encode(pushes, 2) and parts == [encode([push], 2) for push in pushes]


def test_what_is_skipped_can_be_left_out_before_joining() -> None:
    indexes = np.arange(40, dtype=np.uint8) % 8
    symbols, lean, part = np.where(indexes >= 3, indexes - 5, 0).astype(np.int32), RansEncoder(), RansEncoder()
    part.push(BANKS[12], symbols, indexes, True)
    lean.extend(part, 3)
    assert lean.finish(3) == part.finish(3)
    part = RansEncoder()
    part.push(BANKS[12], symbols, indexes, True)
    with pytest.raises(UsageError):
        RansEncoder().extend(part, 4)


def test_skip_is_lowered_until_nothing_is_lost() -> None:
    indexes = np.array([0, 1, 2, 3, 4, 5] * 20, dtype=np.uint8)
    symbols = np.where(indexes >= 3, 1, 0).astype(np.int32)
    for asked, used in ((0, 0), (2, 2), (3, 3), (4, 3), (200, 3)):
        data = encode([(BANKS[12], symbols, indexes, True)], asked)
        decoder = RansDecoder(data)
        assert decoder.skip == used
        assert (decoder.pull(BANKS[12], indexes, True) == symbols).all()


def test_skip_leaves_pushes_alone_that_are_not_ordered_by_scale() -> None:
    symbols, indexes = np.array([7, 0, -7], dtype=np.int32), np.array([0, 0, 0])
    parts = [(BANKS["z"], symbols, indexes, False), (BANKS[12], np.zeros(3, dtype=np.int32), indexes, True)]
    data = encode(parts, 5)
    assert RansDecoder(data).skip == 5
    assert [a.tolist() for a in decode(RansDecoder(data), parts)] == [[7, 0, -7], [0, 0, 0]]


def test_nothing_to_code_costs_one_byte_or_two_with_a_skip_level() -> None:
    zeros = np.zeros(1000, dtype=np.int32)
    assert len(encode([])) == 1
    data = encode([(BANKS[12], zeros, zeros, True)], 1)
    assert len(data) == 2
    assert not decode(RansDecoder(data), [(BANKS[12], zeros, zeros, True)])[0].any()


def test_one_symbol_costs_at_most_six_bytes_beyond_its_bits() -> None:
    assert len(encode([(BANKS[12], np.array([0]), np.array([0]), False)])) <= 6


@settings(max_examples=100, deadline=None)
@given(parts=pushes(), skip=st.integers(0, 12))
def test_the_encoder_says_the_ideal_bits_of_what_it_coded(parts: list[Push], skip: int) -> None:
    encoder = RansEncoder()
    for part in parts:
        encoder.push(*part)
    used = RansDecoder(encoder.finish(skip)).skip
    ideal = 0.0
    for bank, symbols, indexes, by_scale in parts:
        kept = indexes >= used if by_scale else np.ones(len(indexes), bool)
        ideal += bank.bits(symbols[kept], indexes[kept]).sum()
    assert encoder.bits == pytest.approx(ideal, abs=1e-5 * sum(len(symbols) for _, symbols, _, _ in parts))


def test_the_encoder_keeps_its_own_copy() -> None:
    symbols, indexes = np.zeros(9, dtype=np.int32), np.full(9, 30, dtype=np.uint16)
    encoder = RansEncoder()
    encoder.push(BANKS[12], symbols, indexes)
    symbols += 5
    indexes[:] = 0
    assert not RansDecoder(encoder.finish()).pull(BANKS[12], np.full(9, 30)).any()


@pytest.mark.parametrize("top", [6, 14, 22])
@pytest.mark.parametrize("precision", [12, 14])
def test_size_is_within_a_thousandth_and_the_lane_states_of_the_ideal(top: int, precision: int) -> None:
    bank = BANKS[precision]
    symbols, indexes = latent(120_000, top)
    data = encode([(bank, symbols, indexes, True)])
    ideal = bank.bits(symbols, indexes).sum() / 8
    assert ideal - 1 <= len(data) <= ideal * 1.0015 + 2 + 4 * RansDecoder(data).lanes


def test_size_is_within_a_third_percent_of_the_gaussian_entropy_from_a_tenth_bit_per_pixel() -> None:
    for top, floor in ((9, 0.05), (14, 0.02), (24, 0.01)):
        rng = np.random.default_rng(top)
        level = rng.uniform(-20, top, 300_000)
        indexes = np.maximum(0, np.ceil(level)).astype(np.uint8)
        sigma = 0.11 * (256 / 0.11) ** (np.where(level > 0, np.ceil(level), level) / 63)
        symbols = np.rint(rng.normal(size=len(sigma)) * sigma).astype(np.int32)
        tables = 0.11 * (256 / 0.11) ** (np.arange(64) / 63)
        ideal = 0.0
        pairs, times = np.unique(np.stack([indexes, np.abs(symbols)]), axis=1, return_counts=True)
        for table, symbol, count in zip(*pairs.tolist(), times.tolist(), strict=True):
            scale = tables[table] * math.sqrt(2)
            mass = 0.5 * (math.erfc((symbol - 0.5) / scale) - math.erfc((symbol + 0.5) / scale))
            ideal -= count * math.log2(mass) / 8
        assert ideal > floor * 300_000 / 8
        assert len(encode([(BANKS[14], symbols, indexes, True)], skip=1)) <= ideal * 1.003


def test_size_is_that_of_constriction_over_the_same_tables() -> None:
    bank = BANKS[12]
    symbols, indexes = latent(60_000, 24)
    inside = np.abs(symbols) < -bank.offsets[indexes]
    symbols[~inside] = 0
    coder = constriction.stream.stack.AnsCoder()
    for level in range(25):
        size = int(bank.sizes[level]) - 1
        masses = np.diff(bank.cdf[level, : size + 2].astype(np.float64)) / 4096
        model = constriction.stream.model.Categorical(masses.astype(np.float32), perfect=False)
        coder.encode_reverse((symbols[indexes == level] - bank.offsets[level]).astype(np.int32), model)
    theirs = 4 * len(coder.get_compressed())
    assert abs(len(encode([(bank, symbols, indexes, False)])) - theirs) <= 0.003 * theirs + 64


def test_every_prefix_gives_symbols_or_a_typed_error() -> None:
    parts = [(BANKS[12], *latent(400, 40, seed), bool(seed)) for seed in range(2)]
    data = encode(parts, 2)
    for size in range(len(data)):
        with pytest.raises(CorruptStreamError):
            decode(RansDecoder(data[:size]), parts)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), pushes(3))
def test_any_bytes_give_the_same_from_both_decoders(data: bytes, parts: list[Push]) -> None:
    outcomes = []
    for kind in (RansDecoder, ReferenceRansDecoder):
        try:
            outcomes.append([symbols.tolist() for symbols in decode(kind(data), parts)])
        except CorruptStreamError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("lanes", rans.LANES)
def test_bit_flips_give_symbols_or_a_typed_error_as_in_the_reference(
    lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rans, "_choose_lanes", lambda symbols, size: lanes)
    rng = np.random.default_rng(lanes)
    parts = [(BANKS[13], *latent(150, 19, seed), True) for seed in range(3)]
    data = encode(parts, 1)
    for trial in range(60):
        bad = bytearray(data)
        for _ in range(1 + trial % 3):
            place = int(rng.integers(8 * len(bad)))
            bad[place >> 3] ^= 1 << (place & 7)
        outcomes = []
        for kind in (RansDecoder, ReferenceRansDecoder):
            try:
                outcomes.append([symbols.tolist() for symbols in decode(kind(bytes(bad)), parts)])
            except CorruptStreamError:
                outcomes.append(None)
        assert outcomes[0] == outcomes[1]


def test_trailing_bytes_are_refused() -> None:
    parts = [(BANKS[12], *latent(300, 30), False)]
    for extra in (b"\0", b"\1", b"\0\0"):
        with pytest.raises(CorruptStreamError):
            decode(RansDecoder(encode(parts) + extra), parts)
    with pytest.raises(CorruptStreamError):
        decode(RansDecoder(encode([]) + b"\0"), [])


def test_tables_of_another_precision_are_refused() -> None:
    data = encode([(BANKS[12], *latent(30, 30), False)])
    with pytest.raises(CorruptStreamError, match="precision"):
        RansDecoder(data).pull(BANKS[14], np.zeros(30, dtype=np.uint8))


def test_a_short_stream_asked_for_many_symbols_ends_in_a_typed_error() -> None:
    with pytest.raises(CorruptStreamError):
        RansDecoder(b"\x03" + b"\xff" * 128).pull(BANKS[12], np.full(1_000_000, 63, dtype=np.uint8))


@pytest.mark.parametrize(
    ("symbols", "indexes"),
    [
        (np.zeros(2, dtype=np.int32), np.array([0, 64])),
        (np.zeros(2, dtype=np.int32), np.array([0, -1])),
        (np.zeros(2, dtype=np.int32), np.array([0.0, 1.0])),
        (np.zeros(3, dtype=np.int32), np.array([0, 1])),
        (np.zeros((2, 2), dtype=np.int32), np.zeros((2, 2), dtype=np.int32)),
        (np.array([2**31]), np.array([0])),
        (np.array([-(2**31) - 1]), np.array([0])),
        (np.array([0.5]), np.array([0])),
    ],
)
def test_what_cannot_be_coded_is_refused_at_the_push(symbols: np.ndarray, indexes: np.ndarray) -> None:
    with pytest.raises(UsageError):
        RansEncoder().push(BANKS[12], symbols, indexes)


def test_indexes_outside_the_bank_are_refused_at_the_pull() -> None:
    for kind in (RansDecoder, ReferenceRansDecoder):
        with pytest.raises(UsageError):
            kind(encode([])).pull(BANKS[12], np.array([64]))


def test_a_finished_encoder_takes_no_more() -> None:
    encoder = RansEncoder()
    with pytest.raises(UsageError):
        encoder.finish(skip=256)
    encoder.finish()
    with pytest.raises(UsageError):
        encoder.finish()
    with pytest.raises(UsageError):
        encoder.push(BANKS[12], np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.int32))
    for one, other in ((encoder, RansEncoder()), (RansEncoder(), encoder)):
        with pytest.raises(UsageError):
            one.extend(other)


def test_the_byte_layout_has_not_drifted(hand_bank: TableBank, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256()
    for lanes in rans.LANES:
        monkeypatch.setattr(rans, "_choose_lanes", lambda symbols, size, lanes=lanes: lanes)
        place = np.arange(1000)
        indexes, symbols = place % 3, place * 7919 % 23 // 5 - 2
        symbols[::97] = place[::97] * 104729 - 2**31
        symbols[indexes == 0] = 0
        data = encode([(hand_bank, symbols, indexes, False), (hand_bank, symbols, indexes, True)], 1)
        digest.update(data)
    assert digest.hexdigest()[:32] == "488f66d42813be3042dda2cad33c5d14"


def test_the_example_of_the_format_page_holds(hand_bank: TableBank) -> None:
    data = encode([(hand_bank, np.array([0, 1, -5, 3]), np.array([0, 1, 2, 0]), False)])
    assert data.hex() == "009f0d1b8363"
