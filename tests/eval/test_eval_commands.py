"""`calotype eval` and `calotype bench`, on a codec that needs no weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fake_coder import FakeCoder

from calotype.cli import bench
from calotype.cli import eval as eval_verb
from calotype.errors import UsageError
from calotype.eval.entropy_bench import bench_entropy
from calotype.eval.runs import averaged, read_run


@pytest.fixture
def use(monkeypatch):
    """Put a coder in the place of ours."""

    def put(coder: FakeCoder) -> FakeCoder:
        monkeypatch.setattr("calotype.eval.coders.make", lambda spec, **_: coder)
        monkeypatch.setattr("calotype.codecs.registry.open_model", lambda *_, **__: None)
        monkeypatch.setattr("calotype.eval.coders.CalotypeCoder", lambda codec: coder)
        return coder

    put(FakeCoder())
    return put


def run_eval(*arguments: object) -> Result:
    return CliRunner().invoke(eval_verb.command, ["--metric", "psnr_rgb", *map(str, arguments)])


def anchor_file(path, bpp, psnr):
    path.write_text(json.dumps({"results": {"bpp": bpp, "psnr-rgb": psnr}}))
    return path


def test_eval_prints_table_bd_rate_with_conditions_and_checks(use, folder, tmp_path):
    out = tmp_path / "run.json"
    args = (folder, "--points", "20,40,60,80,90", "--out", out)
    assert run_eval(*args).exit_code == 0
    points = averaged(read_run(out), "fake")
    half = anchor_file(
        tmp_path / "half.json", [p["bpp"] / 2 for p in points], [p["metrics"]["psnr_rgb"] for p in points]
    )
    far = anchor_file(tmp_path / "far.json", [1, 2, 3, 4], [80, 81, 82, 83])
    found = run_eval(*args, "--anchor", half, "--anchor", far)
    assert found.exit_code == 0, found.output
    text = found.output
    assert "fake, fake.1 (0000000000000000) on 3 pictures" in text
    for point in points:
        assert f"{point['point']:g}" in text and f"{point['bpp']:.4f}" in text
        assert f"{point['metrics']['psnr_rgb']:.3f}" in text
    assert "BD-rate against half: +100.00 % (Akima +100.00 %)" in text
    assert "PCHIP on log-rate" in text and "100% of the range" in text
    assert "BD-rate against far: n/a" in text and "do not overlap" in text
    assert "not the 24 Kodak pictures" in text and "8-bit RGB" in text
    assert "beyond both 1 % and 64 bytes: 0" in text and "0 pixels differ in 15 files" in text


def test_eval_gives_the_run_as_json(use, folder, tmp_path):
    anchor = anchor_file(tmp_path / "a.json", [1, 2, 3], [30, 31, 32])
    found = run_eval(folder, "--points", "50", "--limit", 2, "--json", "--anchor", anchor)
    run = json.loads(found.stdout)
    assert [row["source"] for row in run["rows"]] == ["p1.png", "p2.png"]
    assert "3 points" in run["comparisons"][0]["error"]
    assert {"calotype", "torch", "threads", "device"} <= run["environment"].keys() and run["commands"]


def test_eval_finds_kodak_below_the_data_folder(use, folder, tmp_path, monkeypatch):
    monkeypatch.delenv("CALOTYPE_DATA", raising=False)
    assert isinstance(run_eval("--points", "50").exception, UsageError)
    folder.rename(tmp_path / "kodak")
    monkeypatch.setenv("CALOTYPE_DATA", str(tmp_path))
    found = run_eval("--points", "50")
    assert found.exit_code == 0 and "on 3 pictures" in found.output


def test_eval_exits_with_1_where_a_picture_failed_or_pixels_differ(use, folder):
    use(FakeCoder(wrong=True))
    found = run_eval(folder, "--points", "50")
    assert found.exit_code == 1 and "3 pixels differ" in found.output
    use(FakeCoder())
    (folder / "p4.png").write_bytes(b"no picture")
    found = run_eval(folder, "--points", "50")
    assert found.exit_code == 1 and "FAILED p4.png" in found.output and "on 3 pictures" in found.output


def test_the_shards_of_a_folder_are_the_folder(use, folder, tmp_path):
    names = []
    for index in range(3):
        found = run_eval(folder, "--points", "50", "--shard", f"{index}/3", "--json")
        names += [row["source"] for row in json.loads(found.stdout)["rows"]]
    assert sorted(names) == ["p1.png", "p2.png", "p3.png"]


@pytest.mark.parametrize(
    "arguments", [("--points", "a"), ("--limit", "0"), ("--shard", "3/3"), ("--shard", "x"), ("--frames", "1")]
)
def test_eval_refuses_arguments_that_make_no_sense(use, folder, arguments):
    assert run_eval(folder, *arguments).exit_code == 2


def test_eval_lists_codecs_metrics_and_sets():
    text = run_eval("--list").output
    assert "vvenc" in text and "psnr_611" in text and "squeeze_kid" in text and "kodak" in text


def test_bench_decode_prints_ours(use, folder):
    found = CliRunner().invoke(bench.command, ["decode", str(folder / "p1.png"), "--no-peer"])
    assert found.exit_code == 0, found.output
    assert "p1.png, 40x24, 2 threads, 10 runs" in found.output
    assert "250.0" in found.output and "500.0" in found.output  # network, entropy: encode
    assert "125.0" in found.output and "62.5" in found.output  # decode
    found = CliRunner().invoke(bench.command, ["decode", str(folder / "p1.png"), "--no-peer", "--json"])
    assert json.loads(found.stdout)["codec"]["model"] == "fake.1"
    found = CliRunner().invoke(bench.command, ["decode", str(folder / "p1.png"), "--peer", "vtm"])
    assert isinstance(found.exception, UsageError) and "mbt2018-mean" in str(found.exception)


def test_bench_entropy_prints_each_coder(monkeypatch):
    latents = np.random.default_rng(0).integers(-3, 4, (4, 8, 8)).astype(np.int32)
    result = bench_entropy(latents, repeats=1)
    monkeypatch.setattr("calotype.eval.entropy_bench.bench_entropy", lambda **_: result)
    found = CliRunner().invoke(bench.command, ["entropy"])
    assert found.exit_code == 0, found.output
    rate = result["rates"]["given"]
    for coder, figures in rate["coders"].items():
        assert coder in found.output and f"{figures['over_ideal_percent']:+.2f} %" in found.output
    for coder, why in result["missing"].items():
        assert f"{coder} is not here" in found.output and why in found.output
