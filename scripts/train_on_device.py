"""Train on a machine that has torch, numpy, Pillow, OpenCV and safetensors and nothing else that Calotype needs.

    python scripts/train_on_device.py --pack MODELS                       where Calotype is installed: models for there
    python scripts/train_on_device.py --models MODELS --recipe video-m --clips CLIPS --photos PHOTOS --out RUN --stop-after 8

The second is `calotype train image` or `video` in a copy of this folder: the same run, which the same command goes on with. At
its end RUN has weights.safetensors too, the moving average alone: what `calotype train export` needs of a checkpoint
(docs/TRAINING.md). Log records come as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calotype.errors import CalotypeError  # noqa: E402 (found by the line above)
from calotype.models import modelfile, zoo  # noqa: E402
from calotype.train import checkpoint  # noqa: E402
from calotype.train.clips import Clips  # noqa: E402
from calotype.train.data import Photos  # noqa: E402
from calotype.train.image import START_CROP  # noqa: E402
from calotype.train.loop import CHECKPOINT, Run  # noqa: E402
from calotype.train.recipes import RECIPES, ImageRecipe, Recipe  # noqa: E402
from calotype.train.synthetic import MARGIN  # noqa: E402
from calotype.train.tasks import Data  # noqa: E402
from calotype.train.video import VALIDATION_CROP  # noqa: E402

WEIGHTS = "weights.safetensors"  # in a run's folder


def pack(folder: Path) -> None:
    """Write the default image model, name and hash as they are, its weights not coded: reading those takes numba."""
    folder.mkdir(parents=True, exist_ok=True)
    path = zoo.find_model(zoo.DEFAULT_IMAGE_MODEL)
    info, arrays, _ = modelfile.read(path)
    modelfile.write(folder / path.name, info.name, info.kind, info.config, info.card, arrays, coded=False)


def changed(recipe: Recipe, fields: list[str]) -> Recipe:
    """The recipe with fields given as NAME=VALUE."""
    given = dict(field.split("=", 1) for field in fields)
    return replace(recipe, **{name: type(getattr(recipe, name))(value) for name, value in given.items()})


def data_of(recipe: Recipe, clips: list[Path], photos: list[Path], device: str) -> Data:
    """What the recipe trains on, on the device."""
    crop = max(recipe.crop, recipe.late_crop)
    if isinstance(recipe, ImageRecipe):
        return Photos(photos, max(crop, START_CROP), device)
    pictures = Photos(photos, crop + 2 * MARGIN, device) if photos else None
    return Clips(clips, pictures, max(crop, VALIDATION_CROP), device=device)


def main() -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, metavar="MODELS", help="write this folder, and that is all")
    parser.add_argument("--models", type=Path, help="a folder that --pack wrote")
    parser.add_argument("--recipe", choices=RECIPES)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a field of the recipe")
    parser.add_argument("--clips", type=Path, action="append", default=[])
    parser.add_argument("--photos", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, metavar="RUN")
    parser.add_argument("--init", help="a run's folder or, for an image model, a model file")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--stop-after", type=float, metavar="MINUTES", help="of this call")
    parser.add_argument("--log-every", type=int, default=100)
    parser.add_argument("--validate-every", type=int, default=2000)
    options = parser.parse_args()
    if options.pack:
        pack(options.pack)
        return 0
    if not (options.recipe and options.out):
        parser.error("give --recipe and --out")
    zoo.WEIGHTS = options.models or zoo.WEIGHTS
    recipe = changed(RECIPES[options.recipe], options.set)
    data = data_of(recipe, options.clips, options.photos, options.device)
    run = Run(
        options.out,
        recipe,
        data,
        options.device,
        options.compile,
        init=options.init,
        report=lambda record: print(json.dumps(record), flush=True),
    )
    print(f"from step {run.step} on {options.device}, {data.megapixels:.0f} megapixels", flush=True)
    seconds = None if options.stop_after is None else 60 * options.stop_after
    run.train(None, options.log_every, 10**9, options.validate_every, seconds)
    meta = checkpoint.load_meta(run.folder / CHECKPOINT)
    checkpoint.save(run.folder / WEIGHTS, None, run.ema, {}, meta)
    spent = f"{run.seconds / 60:.1f} of {recipe.minutes:g} minutes" if recipe.minutes else f"of {recipe.steps}"
    print(f"{'finished' if run.finished else 'stopped'} at step {run.step}, {spent}", flush=True)
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except CalotypeError as error:
        raise SystemExit(f"{error}") from error
