"""Model files: a hash that covers what decides the bits, and a typed error for everything that is none."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from crc32c import crc32c
from safetensors.numpy import save

from calotype.cli.main import main
from calotype.errors import CalotypeError, ModelError
from calotype.models import modelfile, zoo
from calotype.models.bundle import ImageBundle
from calotype.models.integer.places import Quality
from calotype.models.zoo import load_model, model_for_stream

CONFIG = {"width": 8, "latents": 16}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "float.a": rng.random((3, 4)).astype(np.float16),
        "prior.b": rng.integers(-63, 64, (4, 5)).astype(np.int8),
        "tables.c": rng.integers(0, 4096, 7).astype(np.uint16),
        "empty": np.zeros((0, 3), np.int32),
    }


META = {"name": "image-x.1", "kind": "image", "config": CONFIG, "card": {"data": "none"}}


def plain(arrays: dict[str, np.ndarray]) -> bytes:
    """A file of format 1, as every version could write it."""
    return save(arrays, {"calotype": json.dumps({"format": 1} | META)})


@pytest.fixture(params=["plain", "coded"])
def path(request, tmp_path: Path, arrays) -> Path:
    """A file of format 1 or 2; the second has a tensor more, worth coding: 200 values of which `weights` gives a few."""
    target = tmp_path / "image-x.1.safetensors"
    if request.param == "plain":
        target.write_bytes(plain(arrays))
    else:
        arrays["prior.weights"] = weights()
        modelfile.write(target, *META.values(), arrays)
        assert b"coded" in target.read_bytes()
    return target


def weights() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 3, (20, 10)).astype(np.int8)


@pytest.fixture(scope="module")
def shipped() -> tuple[modelfile.ModelInfo, dict[str, np.ndarray]]:
    """The default model's info and tensors."""
    info, arrays, _ = modelfile.read(zoo.find_model(zoo.DEFAULT_IMAGE_MODEL))
    return info, arrays


def test_what_is_written_is_read(path, arrays) -> None:
    info, found, digest = modelfile.read(path)
    assert (info.name, info.kind, info.config, info.card) == ("image-x.1", "image", CONFIG, {"data": "none"})
    assert info.parameters == sum(a.size for a in arrays.values()) and info.bytes == path.stat().st_size
    assert info == modelfile.read_info(path)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[k], v) and found[k].dtype == v.dtype for k, v in arrays.items())
    assert len(digest) == 32 and digest == modelfile.digest("image", CONFIG, arrays)


def test_the_hash_changes_with_every_bit_of_every_tensor(arrays) -> None:
    seen = {modelfile.digest("image", CONFIG, arrays)}
    count = 1
    for name, a in arrays.items():
        for bit in range(8 * a.nbytes):
            raw = bytearray(a.tobytes())
            raw[bit // 8] ^= 1 << bit % 8
            changed = arrays | {name: np.frombuffer(bytes(raw), a.dtype).reshape(a.shape)}
            seen.add(modelfile.digest("image", CONFIG, changed))
            count += 1
    assert len(seen) == count


def test_the_hash_covers_kind_config_names_types_and_shapes_not_order(arrays) -> None:
    base = modelfile.digest("image", CONFIG, arrays)
    assert modelfile.digest("image", dict(reversed(CONFIG.items())), dict(reversed(arrays.items()))) == base
    a = arrays["float.a"]
    others = [
        ("video", CONFIG, arrays),
        ("image", CONFIG | {"width": 9}, arrays),
        ("image", CONFIG | {"more": 1}, arrays),
        ("image", CONFIG, arrays | {"float.a": a.T.copy()}),
        ("image", CONFIG, arrays | {"float.a": a.view(np.int16)}),
        ("image", CONFIG, {("float.b" if k == "float.a" else k): v for k, v in arrays.items()}),
        ("image", CONFIG, {k: v for k, v in arrays.items() if k != "empty"}),
    ]
    assert len({base} | {modelfile.digest(*other) for other in others}) == 1 + len(others)


def test_the_hash_does_not_cover_name_card_or_memory_layout(tmp_path: Path, path, arrays) -> None:
    other = tmp_path / "other.safetensors"
    modelfile.write(other, "other", "image", CONFIG, {}, {k: np.asfortranarray(v) for k, v in arrays.items()})
    assert modelfile.read(other)[2] == modelfile.read(path)[2]


def test_every_cut_is_a_model_error(path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            modelfile.read(path)


def test_coded_weights_are_written_where_they_are_smaller_and_are_the_same_model(tmp_path: Path, arrays) -> None:
    sizes = {}
    for count in (0, 1, 2000):
        tensors = arrays | {"prior.more": np.resize(weights(), (count,))}
        old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
        old.write_bytes(plain(tensors))
        modelfile.write(new, *META.values(), tensors)
        (old_info, _, old_digest), (info, found, digest) = modelfile.read(old), modelfile.read(new)
        assert digest == old_digest and info.bytes <= old_info.bytes and info.parameters == old_info.parameters
        assert list(found) == sorted(tensors) or info.hash is None
        sizes[count] = info.bytes / old_info.bytes
        again = tmp_path / "again.safetensors"
        modelfile.write(again, *META.values(), dict(reversed(tensors.items())))
        assert again.read_bytes() == new.read_bytes()
    assert sizes[2000] < 0.8


def test_scalars_and_types_that_are_not_coded_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for more in ({}, {"flag": np.array([True, False])}):
        tensors = {"scalar": np.array(7, np.int32), "a": np.zeros(5000, np.float32)} | more
        modelfile.write(path, *META.values(), tensors)
        info, found, digest = modelfile.read(path)
        assert {k: (v.shape, v.dtype) for k, v in found.items()} == {k: (v.shape, v.dtype) for k, v in tensors.items()}
        assert digest == modelfile.digest("image", CONFIG, tensors) and (info.hash is None) == bool(more)


def damaged_coded(path: Path, change) -> None:
    """Change a file of format 2 through change(metadata, coded bytes), and make its checksum right again."""
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    meta = json.loads(json.loads(whole[8 : 8 + length])["__metadata__"]["calotype"])
    coded = change(meta, bytearray(whole[8 + length + 4 :]))
    text = json.dumps(meta)
    crc = crc32c(bytes(coded), crc32c(text.encode())).to_bytes(4, "little")
    path.write_bytes(save({"coded": np.frombuffer(crc + bytes(coded), np.uint8)}, {"calotype": text}))


def claim(**more: object):
    """A change of the metadata alone."""
    return lambda meta, coded: meta.update(more) or coded


@pytest.mark.parametrize("path", ["coded"], indirect=True)
def test_coded_weights_that_are_not_those_of_the_hash_are_a_model_error(path) -> None:
    whole, count = path.read_bytes(), 0
    damaged_coded(path, lambda meta, coded: coded)
    assert modelfile.read(path)[2]
    for place in range(0, len(whole), 3):
        path.write_bytes(whole)
        try:
            damaged_coded(path, lambda meta, coded, place=place: coded.__setitem__(place, coded[place] ^ 1) or coded)
        except IndexError:
            break
        with pytest.raises(ModelError):
            modelfile.read(path)
        count += 1
    assert count > 50


@pytest.mark.parametrize(
    "change",
    [
        claim(hash=None),
        claim(hash="0" * 64),
        claim(tensors=[]),
        claim(tensors={"a": "F16"}),
        claim(tensors={"a": [16, [3]]}),
        claim(tensors={"a": ["F16", 3]}),
        claim(tensors={"a": ["F16", [-3]]}),
        claim(tensors={"a": ["F16", [1.0]]}),
        claim(tensors={"a": ["F16", [1 << 30]]}),
        claim(tensors={"a": ["F16", [1 << 30] * 32]}),
        claim(tensors={"a": ["F16", [0] * 40]}),
        claim(tensors={"a": ["BF16", [3]]}),
        claim(tensors={}),
        lambda meta, coded: b"",
        lambda meta, coded: coded[:-1],
    ],
)
@pytest.mark.parametrize("path", ["coded"], indirect=True)
def test_claims_of_coded_weights_that_do_not_hold_are_model_errors(path, change) -> None:
    damaged_coded(path, change)
    with pytest.raises(ModelError):
        modelfile.read(path)


@pytest.mark.parametrize("tensors", [{}, {"other": np.zeros(9, np.uint8)}, {"coded": np.zeros((3, 3), np.uint8)}])
def test_a_coded_file_with_other_tensors_is_a_model_error(path, tensors) -> None:
    text = json.dumps({"format": 2, "hash": "", "tensors": {}} | META)
    path.write_bytes(save(tensors, {"calotype": text}))
    with pytest.raises(ModelError):
        modelfile.read(path)


@pytest.mark.parametrize("path", ["coded"], indirect=True)
def test_every_flipped_bit_of_coded_weights_is_a_model_error(path) -> None:
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ModelError):
            modelfile.read(path)


@pytest.mark.parametrize("path", ["plain"], indirect=True)
def test_a_flipped_bit_is_a_model_error_or_another_hash(path) -> None:
    whole, digest = path.read_bytes(), modelfile.read(path)[2]
    data = 8 + struct.unpack("<Q", whole[:8])[0]
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = modelfile.read(path)[2]
        except ModelError:
            assert bit // 8 < data, "a flip in a tensor still reads"
        else:
            assert found != digest or bit // 8 < data  # name and card are not covered


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_foreign_files_are_model_errors_and_nothing_runs(tmp_path: Path, arrays, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    foreign = {
        "pickle": pickle.dumps(Trap()),
        "zip": b"PK\x03\x04" + bytes(64),
        "empty": b"",
        "text": b"hello, this is no model at all",
        "long header": struct.pack("<Q", 1 << 62) + b"{}",
        "safetensors of others": save(arrays, {"format": "pt"}),
        "no metadata": save(arrays),
        "list": struct.pack("<Q", 2) + b"[]",
        "later format": save(arrays, {"calotype": json.dumps({"format": 99, "name": "x", "kind": "image", "config": {}})}),
        "no json": save(arrays, {"calotype": "{"}),
    }
    for what, data in foreign.items():
        path = tmp_path / "model.safetensors"
        path.write_bytes(data)
        for read in (modelfile.read_info, modelfile.read, ImageBundle.read, load_model):
            with pytest.raises(ModelError):
                read(path)
            assert not (tmp_path / "trapped").exists(), what
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ModelError):
            modelfile.read_info(path)


@pytest.mark.parametrize("meta", [{"format": 1}, {"format": 1, "name": "x", "kind": "image"}])
def test_metadata_without_a_field_is_a_model_error(path, arrays, meta) -> None:
    path.write_bytes(save(arrays, {"calotype": json.dumps(meta)}))
    with pytest.raises(ModelError):
        modelfile.read_info(path)


def test_a_deeply_nested_header_is_a_model_error(path) -> None:
    path.write_bytes(struct.pack("<Q", 400_000) + b"[" * 400_000)
    with pytest.raises(ModelError):
        modelfile.read_info(path)


def rewritten(path: Path, shipped, change, kind: str = "image", **config: object) -> Path:
    """A model file that differs from the shipped one."""
    info, arrays = shipped
    arrays = dict(arrays)
    change(arrays)
    modelfile.write(path, info.name, kind, info.config | config, {}, arrays)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("tables.y.cdf"),
        lambda a: a.pop("prior.step2_in.shift"),
        lambda a: a.pop("synthesis.frac"),
        lambda a: a["prior.up.shift"].__setitem__(0, 0),
        lambda a: a["prior.up.bias"].__setitem__((0, 0), 2**31 - 1),
        lambda a: a["synthesis.enter.weight"].__setitem__((0, 0), 4064),
        lambda a: a["synthesis.blocks.0.grow.shift"].__setitem__(0, 25),
        lambda a: a["synthesis.limit"].__setitem__(0, 0),
        lambda a: a["tables.y.cdf"].__setitem__((0, 1), 0),
    ],
)
def test_a_damaged_model_is_a_model_error_when_it_is_loaded(tmp_path: Path, shipped, change) -> None:
    info, arrays = shipped
    with pytest.raises(ModelError):
        ImageBundle.read(rewritten(tmp_path / "m.safetensors", (info, {k: v.copy() for k, v in arrays.items()}), change))


@pytest.mark.parametrize(
    "change", [lambda a: a.pop("float.pre"), lambda a: a.update({"float.pre": a["float.pre"][:, :8].copy()})]
)
def test_a_damaged_encoder_is_a_model_error_when_it_is_first_used_and_decoders_do_without(tmp_path, shipped, change) -> None:
    bundle = ImageBundle.read(rewritten(tmp_path / "m.safetensors", shipped, change))
    shape = (1, 2, 2, bundle.config.latents)
    assert bundle.synthesis(np.zeros(shape, np.int32), Quality((500,))).shape == (1, 32, 32, 3)
    with pytest.raises(ModelError, match="encoder"):
        _ = bundle.model


def test_a_float_model_has_gradients_whoever_asked_for_it_first(tmp_path, shipped) -> None:
    import torch

    bundle = ImageBundle.read(rewritten(tmp_path / "m.safetensors", shipped, lambda a: None))
    with torch.inference_mode():
        assert not any(p.is_inference() for p in bundle.model.parameters())


def drop_layer(arrays: dict[str, np.ndarray]) -> None:
    for part in ("weight", "bias", "shift"):
        del arrays[f"prior.step2_in.{part}"]


@pytest.mark.parametrize(
    "change",
    [
        drop_layer,
        lambda a: a.update({"prior.up.weight": a["prior.up.weight"][:, :-1].copy()}),
        lambda a: a.update({"prior.up.weight": a["prior.up.weight"].astype(np.int32)}),
        lambda a: a.update(
            {
                "tables.z.sizes": a["tables.z.sizes"][:3],
                "tables.z.offsets": a["tables.z.offsets"][:3],
                "tables.z.shifts": a["tables.z.shifts"][:3],
                "tables.z.cdf": a["tables.z.cdf"][:3],
            }
        ),
    ],
)
def test_a_prior_or_tables_of_other_sizes_are_a_model_error_when_loaded(tmp_path: Path, shipped, change) -> None:
    info, arrays = shipped
    with pytest.raises(ModelError):
        ImageBundle.read(rewritten(tmp_path / "m.safetensors", (info, dict(arrays)), change))


@pytest.mark.parametrize("config", [{"width": 97}, {"latents": 2}, {"width": "wide"}, {"unknown": 1}, {"side": 8}])
def test_a_config_that_does_not_fit_is_a_model_error(tmp_path: Path, shipped, config) -> None:
    with pytest.raises(ModelError):
        ImageBundle.read(rewritten(tmp_path / "m.safetensors", shipped, lambda a: None, **config))


def test_another_kind_is_a_model_error(tmp_path: Path, shipped) -> None:
    with pytest.raises(ModelError, match="kind"):
        ImageBundle.read(rewritten(tmp_path / "m.safetensors", shipped, lambda a: None, kind="video"))


def test_a_stream_is_decoded_with_its_own_model_only(tmp_path: Path, shipped) -> None:
    bundle = load_model()
    stem = bundle.name.removeprefix("image-")
    assert model_for_stream("image", stem, bundle.hash[:8]) is bundle
    with pytest.raises(ModelError, match="made with"):
        model_for_stream("image", stem, bytes(8))
    with pytest.raises(ModelError, match="no model"):
        model_for_stream("image", "unheard-of.7", bundle.hash[:8])
    other = rewritten(tmp_path / "other.safetensors", shipped, lambda a: a.update({"float.pre": a["float.pre"] * 2}))
    with pytest.raises(ModelError, match="made with"):
        model_for_stream("image", stem, bundle.hash[:8], other)
    same = rewritten(tmp_path / "renamed.safetensors", shipped, lambda a: None)
    assert model_for_stream("image", "gone.1", bundle.hash[:8], same).hash == bundle.hash


def test_the_command_line_packs_a_model_file(tmp_path: Path, arrays, capsys) -> None:
    source, out = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    source.write_bytes(plain(arrays | {"prior.more": np.resize(weights(), 5000)}))
    assert main(["models", "pack", str(source), str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["bytes_before"], record["bytes"]) == (source.stat().st_size, out.stat().st_size)
    assert record["bytes"] < 0.8 * record["bytes_before"] and record["name"] == "image-x.1"
    assert record["hash"] == modelfile.read(source)[2].hex() == modelfile.read_info(out).hash
    source.write_bytes(b"none")
    assert main(["models", "pack", str(source), str(out)]) == 5 and modelfile.read(out)[0].bytes == record["bytes"]


def test_shipped_models_are_listed_without_torch_and_numpy() -> None:
    import subprocess
    import sys

    code = "import sys; from calotype.models.zoo import list_models; list_models(); print({'torch', 'numpy'} & {*sys.modules})"
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root})
    assert done.stdout.strip() == "set()"
    for info in zoo.list_models():
        assert info.path.stem == info.name and info.parameters > 0
    assert issubclass(ModelError, CalotypeError)
