"""`calotype train recipes`: the named recipes, and what their models cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from . import options, terminal

TRUNKS = ("context", "analysis", "synthesis")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a recipe, with all its fields.")
def recipes(as_json: bool) -> None:
    """List the recipes that `calotype train image` and `video` take with --recipe.

    Blocks are those of the encoder's and the decoder's trunk, of video models after those of the context; MiB those of the
    exported weights, crops those of the run's first part and of its last.
    """
    options.prepare("cpu", None)
    from ..models.complexity import model_kmac
    from ..train import export, exportvideo
    from ..train.recipes import RECIPES

    records = []
    for name, recipe in RECIPES.items():
        model = recipe.model()
        cost = {
            "kmac_per_pixel": round(model_kmac(recipe.kind, model.config.to_dict()) or 0, 2),
            "parameters": sum(p.numel() for p in model.parameters()),
            "bytes": (exportvideo if recipe.kind == "video" else export).exported_bytes(model),
        }
        records.append({"name": name} | cost | {"recipe": asdict(recipe)})
    if as_json:
        for record in records:
            terminal.row("", record, True)
        return
    header = ("name", "kMAC/pixel", "parameters", "MiB", "width", "blocks", "latents", "prior", "budget", "crops")
    terminal.table(header, [_cells(record) for record in records])


def _cells(record: dict[str, Any]) -> list[str]:
    recipe = record["recipe"]
    return [
        record["name"],
        f"{record['kmac_per_pixel']:g}",
        f"{record['parameters']:,}",
        f"{record['bytes'] / 2**20:.1f}",
        str(recipe["width"]),
        " + ".join(str(recipe[f"{part}_blocks"]) for part in TRUNKS if f"{part}_blocks" in recipe),
        str(recipe["latents"]),
        f"{recipe.get('prior', 'quadtree')}, {recipe['hidden']}",
        f"{recipe['minutes']:g} minutes" if recipe["minutes"] else f"{recipe['steps']} steps",
        f"{recipe['batch']} of {recipe['crop']}, {recipe['late_batch']} of {recipe['late_crop']}",
    ]
