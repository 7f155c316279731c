"""A generative decoder's run: its two parts, its two players, resuming to the bit, and its model file."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from calotype.cli.train_generative import generative
from calotype.codecs.registry import open_model
from calotype.errors import UsageError
from calotype.models.generative.bundle import GenerativeBundle
from calotype.models.generative.net import sampled
from calotype.models.perceptual import SqueezeNet
from calotype.train import exportgenerative
from calotype.train.critic import slope
from calotype.train.generative import SCALARS, Seen
from calotype.train.loop import LOG, Run
from calotype.train.recipes import GenerativeRecipe

RECIPE = GenerativeRecipe(
    steps=4, batch=2, late=0.0, flow=0.5, warmup=1, seed=3, width=8, fine=8, blocks=1, fine_blocks=1, lr=1e-3
)


@pytest.fixture(scope="module")
def run(seen: Seen, tmp_path_factory) -> Run:
    """A run that took its four steps, two of each part."""
    torch.set_num_threads(1)
    made = Run(tmp_path_factory.mktemp("runs") / "run", RECIPE, seen)
    made.train(log_every=1, validate_every=100)
    return made


def gradients(run: Run, step: int, progress: float, **changes: object) -> tuple[float, float]:
    """Sums of |gradient| of net and critic."""
    run.task.recipe = dataclasses.replace(RECIPE, **changes)
    for p in run.model.parameters():
        p.grad = None
    run.task.loss(run.model, step, progress)[0].backward()
    parts = (run.model.net, run.model.critic)
    return tuple(sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None) for part in parts)


def test_both_parts_are_logged_and_the_held_out_photos_validate(run: Run) -> None:
    records = [json.loads(line) for line in (run.folder / LOG).read_text().splitlines()]
    steps = [r for r in records if "loss" in r]
    assert set(SCALARS) <= steps[0].keys()
    assert [r["distance"] > 0 for r in steps] == [False, False, True, True]
    (validation,) = (r["validation"] for r in records if "validation" in r)
    assert [p["bpp"] for p in validation] == sorted(p["bpp"] for p in validation)
    assert all(p["distance"] > 0 and p["psnr"] > 5 for p in validation)


def test_each_player_learns_from_its_own_loss_alone(seen: Seen, tmp_path: Path) -> None:
    fresh = Run(tmp_path / "run", RECIPE, seen)
    net, critic = gradients(fresh, 0, 0.0)
    assert net > 0 and critic == 0  # flow matching has no critic
    net, critic = gradients(fresh, 0, 0.9)
    assert net > 0 and critic > 0
    alone = {"error": 0.0, "error_real": 0.0, "perceptual": 0.0}
    net, other = gradients(fresh, 0, 0.9, **alone, adversarial=1e-12)
    assert net < 1e-9 and other == critic  # nothing of the critic's loss reaches the net, nor of the net's the critic
    net, other = gradients(fresh, 0, 0.9, **alone)
    assert net > 1e-9 and other == critic
    assert gradients(fresh, 0, 0.9, adversarial=0.0)[1] == 0  # there is none


def test_the_penalty_is_of_the_critics_slope_alone(seen: Seen, tmp_path: Path) -> None:
    fresh = Run(tmp_path / "run", RECIPE, seen)
    found = []
    for gamma in (0.0, 10.0):
        torch.manual_seed(0)
        found.append(gradients(fresh, 0, 0.9, penalty=gamma))
    plain, held = found
    assert held[0] == plain[0] and held[1] != plain[1]
    critic = fresh.model.critic
    x = torch.rand(2, 3, 64, 64)
    taps = [t.detach() for t in seen.features(x)]
    maps, steep = slope(critic, x, x, taps)
    assert all(map(torch.equal, maps, critic(x, x, taps)))
    (steep.sum()).backward()
    with torch.no_grad():
        for p in critic.parameters():
            if p.grad is not None:
                p.sub_(0.05 * p.grad / (p.grad.norm() + 1e-12))
    assert bool((slope(critic, x, x, taps)[1] < steep).all())


def test_squared_error_weighs_as_each_end_of_realism_has_it(seen: Seen, tmp_path: Path) -> None:
    fresh = Run(tmp_path / "run", RECIPE, seen)
    both, neither = (gradients(fresh, 0, 0.9, error=w, error_real=w, perceptual=0.0, adversarial=0.0)[0] for w in (1.0, 0.0))
    ends = [gradients(fresh, 0, 0.9, error=a, error_real=1 - a, perceptual=0.0, adversarial=0.0)[0] for a in (1.0, 0.0)]
    assert neither == 0 and all(0 < end < both for end in ends)


def close(stored: torch.Tensor, trained: torch.Tensor) -> bool:
    """Within the rounding to eight bits of each output's largest weight."""
    return bool(((stored - trained).abs() <= trained.abs().max() / 240 + 1e-6).all())


def test_a_net_that_only_copies_has_the_coded_pictures_distance(seen: Seen, tmp_path: Path) -> None:
    points = Run(tmp_path / "run", RECIPE, seen).validate()
    assert all(
        p["distance"] == pytest.approx(p["distance_coded"]) and p["psnr"] == pytest.approx(p["psnr_real"]) for p in points
    )


def test_an_interrupted_run_ends_with_the_same_bits(run: Run, seen: Seen, tmp_path: Path) -> None:
    for until in (1, 3, None):
        Run(tmp_path / "run", RECIPE, seen).train(until, log_every=1, validate_every=100)
    assert tiny.same(tmp_path / "run", run.folder)


def test_a_run_is_exported_coded_with_and_started_from(run: Run, seen: Seen, tmp_path: Path) -> None:
    exportgenerative.export_run(run.folder, out := tmp_path / "net-x.1.safetensors", {"data": "noise"})
    bundle = GenerativeBundle.read(out)
    for name, value in bundle.net.state_dict().items():
        assert close(value, run.ema[f"net.{name}"])
    pixels = tiny.np.full((40, 40, 3), 90, tiny.np.uint8)
    assert open_model(out).encode(pixels, 50, reconstruct=True).reconstruction.shape == pixels.shape
    for number, source in enumerate((out, run.folder)):
        again = Run(tmp_path / f"again{number}", RECIPE, seen, init=source)
        assert close(again.model.net.enter.weight, run.ema["net.enter.weight"])


def test_sizes_and_crops_that_cannot_be_are_usage_errors() -> None:
    for changes in ({"crop": 128}, {"blocks": 30}, {"flow": -1.0}, {"adversarial": float("nan")}, {"penalty": -1.0}):
        with pytest.raises(UsageError):
            dataclasses.replace(RECIPE, **changes)


def test_the_command_trains_and_goes_on(tmp_path: Path) -> None:
    photos = tiny.write_photos(tmp_path / "photos")
    torch.manual_seed(0)
    save_file(SqueezeNet().state_dict(), features := tmp_path / "features.safetensors")
    sizes = ["--width", "8", "--fine", "8", "--blocks", "1", "--fine-blocks", "1", "--batch", "2", "--late-batch", "2"]
    common = ["--data", photos, "--features", features, "--out", tmp_path / "run", "--threads", "1", *sizes]
    for steps, until in ((2, 1), (2, 2)):
        done = CliRunner().invoke(generative, [str(a) for a in (*common, "--steps", steps, "--until", until)])
        assert done.exit_code == 0, done.output
    assert "distance" in done.output and "steps/s" in done.output
    shutil.rmtree(tmp_path / "run")


def test_a_distilled_net_learns_its_teachers_picture_of_several_steps(run: Run, seen: Seen, tmp_path: Path) -> None:
    distilling = {"flow": 0.0, "teacher": str(run.folder), "teacher_steps": 3, "distilled": 1.0, "adversarial": 0.0}
    fresh = Run(tmp_path / "run", dataclasses.replace(RECIPE, **distilling), seen, init=run.folder)
    task, net = fresh.task, fresh.model.net
    x = seen.photos.batch(1, 1, 2, 192)[0]
    batch = task.coded(x, torch.tensor([100.0, 700.0]), torch.ones(2), torch.ones(2))
    noise = torch.randn_like(x)
    with torch.no_grad():
        targets = [sampled(task.teacher, batch.given, noise, batch.setting, steps) for steps in (1, 3)]
        same = net(batch.given, noise, batch.setting)
        features = [task.features(picture) for picture in (*targets, same)]
        far = [task.towards(batch, noise, picture, found) for picture, found in zip((*targets, same), features, strict=True)]
    torch.testing.assert_close(same, targets[0])  # it starts as its teacher
    assert float(far[1].max()) == 0 < float(far[0].min()) and torch.equal(far[2], far[0])
    before = [p.clone() for p in task.teacher.parameters()]
    fresh.train(log_every=1, validate_every=100)
    assert all(map(torch.equal, before, task.teacher.parameters()))
    assert not torch.equal(fresh.model.net.enter.weight, run.model.net.enter.weight)


def test_the_share_is_of_the_loss_towards_the_teacher(run: Run, seen: Seen, tmp_path: Path) -> None:
    losses = []
    for share in (0.0, 0.5, 1.0):
        recipe = dataclasses.replace(
            RECIPE, flow=0.0, adversarial=0.0, distilled=share, teacher=str(run.folder) if share else ""
        )
        torch.manual_seed(5)
        fresh = Run(tmp_path / f"{share}", recipe, seen, init=run.folder)
        torch.manual_seed(5)
        losses.append(float(fresh.task.loss(fresh.model, 2, 0.9)[0]))
    assert losses[0] != losses[2] and losses[1] == pytest.approx((losses[0] + losses[2]) / 2, rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [{"distilled": 0.5}, {"teacher": "x"}, {"distilled": 1.5, "teacher": "x"}, {"teacher_steps": 0}, {"teacher_steps": 65}],
)
def test_teaching_that_cannot_be_is_a_usage_error(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(RECIPE, **changes)
