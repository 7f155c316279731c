"""From a finished run of a stem prior into the file of a video model: integers, and own tables where they pay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..codecs.image import SKIP
from ..entropy import TableBank
from ..errors import UsageError
from ..models import modelfile
from ..models.integer.convertprior import integer_arrays
from ..models.prior import Prior
from ..models.stem import add_stem
from . import checkpoint
from .checkpoint import CHECKPOINT
from .clips import Clips
from .recipes import StemRecipe
from .stem import StemTask, coded
from .tables import REACH, LatentCounts

BATCHES, BATCH, CROP = 48, 8, 192  # what tables are counted on; half as many more pairs choose
PAYS = 0.005  # share of bits that own tables must save


@torch.no_grad()
def count(task: StemTask, model: Prior, first: int, batches: int) -> LatentCounts:
    """What symbols of each scale level are in training pairs."""
    counts = LatentCounts()
    for number in range(first, first + batches):
        found = coded(model, task.sample(10**6 + number, BATCH, CROP)[0])
        counts.add(found.index, found.y_hat - found.mean)
    return counts


def bits(counts: LatentCounts, bank: TableBank) -> float:
    """What the symbols counted take by these tables; streams skip those of the lowest levels."""
    level, at = torch.nonzero(counts.counts, as_tuple=True)
    level, at = level[level >= SKIP], at[level >= SKIP]
    each = bank.bits((at - REACH).numpy(), level.numpy())
    return float((each * counts.counts[level, at].numpy()).sum())


def export_run(folder: Path, out: Path, clips: Clips, card: dict[str, Any]) -> None:
    """Put the moving-average prior of a run into `out`, a video model file. clips: for tables.

    Raises ModelError, UsageError.
    """
    meta = checkpoint.load_meta(folder / CHECKPOINT)
    recipe = StemRecipe.restored(meta["recipe"])
    if not out.is_file():
        raise UsageError(f"there is no {out}: give the file of the video model that the prior is put into")
    intra = modelfile.read_info(out).config.get("intra")
    if intra != recipe.image:
        raise UsageError(f"{out} codes intra frames with '{intra}', and the run is of '{recipe.image}'; train one for it")
    model = recipe.model()
    model.load_state_dict(checkpoint.load_ema(folder / CHECKPOINT))
    task = StemTask(recipe, clips, "cpu", 0, 1)
    own, shared = count(task, model, 0, BATCHES).bank(), task.still.bundle.y_bank
    others = count(task, model, BATCHES, BATCHES // 2)
    saved = 1 - bits(others, own) / bits(others, shared)
    card = card | {"recipe": meta["recipe"], "steps": meta["step"], "seconds": round(meta["seconds"])}
    card["tables_save"] = round(saved, 4)
    add_stem(out, integer_arrays(model), own if saved >= PAYS else None, card)
