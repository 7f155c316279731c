"""Importing CompressAI's checkpoints: old spellings, wrappers, wrong contents, and pickles with code in them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from random_nets import CONFIGS, perturb, picture

from calotype.cli.main import main
from calotype.entropy import TableBank
from calotype.errors import ModelError, UsageError
from calotype.models import modelfile
from calotype.models.classic.bundle import ClassicBundle
from calotype.models.classic.checkpoint import import_checkpoint, read_checkpoint
from calotype.models.classic.density import EntropyBottleneck
from calotype.models.zoo import load_model


def state_of(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    return dict(perturb(CONFIGS[name].build(), seed).state_dict())


def saved(path: Path, content: object, **settings: object) -> Path:
    torch.save(content, path, **settings)
    return path


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return state_of("mbt2018-mean")


@pytest.mark.parametrize("name", list(CONFIGS))
def test_architecture_and_sizes_are_told_from_the_file(tmp_path: Path, name: str) -> None:
    given = state_of(name)
    config, model = read_checkpoint(saved(tmp_path / "a.pth", given))
    assert config == CONFIGS[name] and config.name == name
    assert all(torch.equal(model.state_dict()[key], value) for key, value in given.items())
    assert read_checkpoint(tmp_path / "a.pth", name)[0] == config


def test_a_hyperprior_of_as_many_channels_as_latents_is_told_from_a_mean_scale_one(tmp_path: Path) -> None:
    for name in ("bmshj2018-hyperprior", "mbt2018-mean"):
        config = type(CONFIGS[name])(CONFIGS[name].architecture, 8, 8)
        assert read_checkpoint(saved(tmp_path / "a.pth", config.build().state_dict()))[0] == config


def test_old_spellings_prefixes_wrappers_and_constants_are_understood(tmp_path: Path) -> None:
    given = state_of("cheng2020-anchor")
    spellings = [
        lambda k: "module." + k,
        lambda k: k.replace(".matrices.", "._matrix").replace(".biases.", "._bias").replace(".factors.", "._factor"),
        lambda k: k.replace(".matrices.", "._matrices.").replace(".biases.", "._biases.").replace(".factors.", "._factors."),
        lambda k: "module._orig_mod." + k.replace(".skip.", ".downsample."),
    ]
    constants = {
        "entropy_bottleneck._offset": torch.zeros(0, dtype=torch.int32),
        "entropy_bottleneck._quantized_cdf": torch.zeros(8, 30, dtype=torch.int32),
        "entropy_bottleneck.target": torch.tensor([-21.0, 0.0, 21.0]),
        "g_a.0.gdn.beta_reparam.pedestal": torch.tensor([2.0**-36]),
        "g_a.0.gdn.gamma_reparam.lower_bound.bound": torch.tensor([2.0**-18]),
        "gaussian_conditional.scale_bound": torch.tensor([0.11]),
        "gaussian_conditional.scale_table": torch.ones(64),
    }
    for spelling in spellings:
        old = {spelling(key): value for key, value in (given | constants).items()}
        for content in (old, {"epoch": 7, "state_dict": old}):
            _, model = read_checkpoint(saved(tmp_path / "old.pth", content))
            assert all(torch.equal(model.state_dict()[key], value) for key, value in given.items())
    read_checkpoint(saved(tmp_path / "older.pth", given, _use_new_zipfile_serialization=False))


def test_half_precision_becomes_float32(tmp_path: Path, state) -> None:
    _, model = read_checkpoint(saved(tmp_path / "a.pth", {key: value.half() for key, value in state.items()}))
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.write_text, (self.path, "ran")


@pytest.mark.parametrize("protocol", ["zip", "legacy", "plain"])
def test_a_pickle_with_code_in_it_is_refused_and_runs_nothing(tmp_path: Path, state, protocol: str) -> None:
    mark, source = tmp_path / "mark", tmp_path / "bomb.pth"
    content = state | {"g_a.0.weight": Bomb(mark)}
    if protocol == "plain":
        source.write_bytes(pickle.dumps(Bomb(mark)))
    else:
        saved(source, content, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(ModelError, match="not run"):
        import_checkpoint(source, tmp_path / "out.safetensors")
    assert not mark.exists() and not (tmp_path / "out.safetensors").exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()  # the bomb is one


@pytest.mark.parametrize("content", [b"", b"\x80", b"not a checkpoint", b"PK\x03\x04" + bytes(40), bytes(range(256))])
def test_bytes_that_are_no_checkpoint_are_a_model_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ModelError):
        read_checkpoint(tmp_path / "a.pth")


def test_a_checkpoint_cut_anywhere_is_a_model_error(tmp_path: Path, state) -> None:
    data = saved(tmp_path / "a.pth", state).read_bytes()
    for end in range(0, len(data), len(data) // 40):
        (tmp_path / "cut.pth").write_bytes(data[:end])
        with pytest.raises(ModelError):
            read_checkpoint(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    "wrong, says",
    [
        (lambda s: [1, 2], "no state dict"),
        (lambda s: {}, "no state dict"),
        (lambda s: {"weight": torch.zeros(3)}, "no architecture"),
        (lambda s: s | {"epoch": 3}, "no named tensor"),
        (lambda s: {k: v for k, v in s.items() if k != "h_s.2.bias"}, "h_s.2.bias"),
        (lambda s: {k: v for k, v in s.items() if ".gamma" not in k}, "gamma"),  # the -relu variant
        (lambda s: s | {"g_a.3.conv_a.0.bias": torch.zeros(3)}, "not there"),
        (lambda s: s | {"h_s.2.bias": torch.zeros(5)}, "h_s.2.bias"),
        (lambda s: s | {"h_s.4.weight": torch.zeros(5, 5, 3, 3)}, "--architecture"),
        (lambda s: s | {"g_a.1.beta": s["g_a.1.beta"] * float("nan")}, "no numbers"),
        (lambda s: s | {"module.g_a.1.beta": s["g_a.1.beta"]}, "twice"),
        (lambda s: s | {"g_a.1.beta_reparam.pedestal": torch.tensor([0.5])}, "not CompressAI's"),
        (lambda s: s | {"context_prediction.mask": torch.ones(24, 12, 5, 5)}, "not CompressAI's"),
        (lambda s: s | {"g_a.0.weight": torch.zeros(600, 3, 5, 5)}, "600"),
    ],
)
def test_what_is_none_of_the_architectures_is_a_model_error(tmp_path: Path, state, wrong, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        read_checkpoint(saved(tmp_path / "a.pth", wrong(state)))


def test_a_wrong_or_unknown_architecture_is_a_model_error(tmp_path: Path, state) -> None:
    source = saved(tmp_path / "a.pth", state)
    for name in ("mbt2018", "bmshj2018-hyperprior", "bmshj2018-factorized", "cheng2020-anchor", "elic"):
        with pytest.raises(ModelError):
            read_checkpoint(source, name)


def test_the_model_file_has_the_weights_and_the_frozen_tables(tmp_path: Path, state) -> None:
    out = tmp_path / "mean-3.safetensors"
    config = import_checkpoint(saved(tmp_path / "a.pth", state), out)
    info, arrays, digest = modelfile.read(out)
    assert (info.name, info.kind, info.config) == ("mean-3", "classic", {"architecture": 2, "N": 8, "M": 12})
    assert info.card["architecture"] == "mbt2018-mean" and info.card["source"] == "a.pth"
    for key, value in state.items():
        assert arrays["float." + key].dtype == np.float32 and np.array_equal(arrays["float." + key], value.numpy())
    assert len(TableBank.from_arrays(arrays, "tables.y")) == 64 and len(TableBank.from_arrays(arrays, "tables.z")) == 8
    bundle = ClassicBundle.read(out)
    assert bundle.hash == digest and bundle.config == config
    with pytest.raises(ModelError, match="kind 'classic'"):
        load_model(out)  # where an image model is asked for


@pytest.mark.parametrize("change", ["no tables", "no weight", "config", "tables of another model"])
def test_a_damaged_model_file_is_a_model_error(tmp_path: Path, state, change: str) -> None:
    import_checkpoint(saved(tmp_path / "a.pth", state), tmp_path / "m.safetensors")
    info, arrays, _ = modelfile.read(tmp_path / "m.safetensors")
    config = dict(info.config)
    if change == "no tables":
        arrays = {key: value for key, value in arrays.items() if not key.startswith("tables.z")}
    elif change == "no weight":
        del arrays["float.h_a.0.weight"]
    elif change == "config":
        config["architecture"] = 9
    else:
        arrays |= {key.replace(".z", ".y"): arrays[key] for key in arrays if key.startswith("tables.z")}
    modelfile.write(tmp_path / "m.safetensors", "m", "classic", config, {}, arrays)
    with pytest.raises(ModelError):
        ClassicBundle.read(tmp_path / "m.safetensors")


def test_a_name_that_streams_cannot_carry_is_refused(tmp_path: Path, state) -> None:
    source = saved(tmp_path / "a.pth", state)
    for name in ("Big.safetensors", "a" * 33 + ".safetensors", "m.pth", ".safetensors"):
        with pytest.raises(UsageError, match="NAME"):
            import_checkpoint(source, tmp_path / name)


@torch.no_grad()
def test_the_frozen_tables_are_the_density() -> None:
    density = perturb(CONFIGS["mbt2018-mean"].build(), 4).entropy_bottleneck
    bank, symbols = density.tables(), np.arange(-4000, 4001, dtype=np.int32)
    x = density.median() + torch.from_numpy(symbols).float()[None, None, :, None]
    likelihood = density(x)[1][0, :, :, 0].double().numpy()
    for channel, mass in enumerate(likelihood):
        assert mass.sum() == pytest.approx(1, abs=1e-3)
        bits = bank.bits(symbols, np.full(len(symbols), channel))
        assert (mass * bits).sum() <= -(mass * np.log2(mass)).sum() + 0.01


def test_a_density_without_bounds_is_a_model_error() -> None:
    density = EntropyBottleneck(2)
    with torch.no_grad():
        for matrix in density.matrices:
            matrix.fill_(-20)
    with pytest.raises(ModelError, match="density"):
        density.tables()


def test_the_command_line_imports_and_models_alone_goes_on_listing(tmp_path: Path, state, capsys) -> None:
    source = saved(tmp_path / "a.pth", {"state_dict": state})
    assert main(["models", "import", str(source), str(tmp_path / "m.safetensors"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["name"], record["architecture"], record["N"], record["M"]) == ("m", "mbt2018-mean", 8, 12)
    assert main(["models", "import", str(source), str(tmp_path / "n.safetensors"), "--architecture", "mbt2018"]) == 5
    assert "mbt2018" in capsys.readouterr().err
    assert main(["models", "import", str(source), str(tmp_path / "m.pth")]) == 2
    assert main(["models", "import", "--help"]) == 0
    assert main(["models", "export"]) == 2
    capsys.readouterr()
    assert main(["models"]) == 0
    assert "kind" in capsys.readouterr().out


def test_forward_gives_pictures_and_likelihoods(state) -> None:
    for config in CONFIGS.values():
        with torch.no_grad():
            out = perturb(config.build())(picture())
        assert out["x_hat"].shape == (1, 3, 64, 64) and out["likelihoods"]["y"].shape == (1, config.M, 4, 4)
        assert all(0 < float(v.min()) and float(v.max()) <= 1 for v in out["likelihoods"].values())
