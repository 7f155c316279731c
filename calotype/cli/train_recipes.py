"""`calotype train recipes`: the named recipes, and what their models cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from . import options, terminal


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a recipe, with all its fields.")
def recipes(as_json: bool) -> None:
    """List the recipes that `calotype train image --recipe` takes.

    Blocks are those of the encoder's and the decoder's trunk, MiB those of the exported weights, crops those of the run's
    first part and of its last.
    """
    options.prepare("cpu", None)
    from ..models.complexity import decoder_kmac
    from ..train.export import exported_bytes
    from ..train.recipes import RECIPES

    records = []
    for name, recipe in RECIPES.items():
        model = recipe.model()
        cost = {
            "kmac_per_pixel": round(decoder_kmac(model.config.to_dict()), 2),
            "parameters": sum(p.numel() for p in model.parameters()),
            "bytes": exported_bytes(model),
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
        f"{recipe['analysis_blocks']} + {recipe['synthesis_blocks']}",
        str(recipe["latents"]),
        f"{recipe['prior']}, {recipe['hidden']}",
        f"{recipe['minutes']:g} minutes" if recipe["minutes"] else f"{recipe['steps']} steps",
        f"{recipe['batch']} of {recipe['crop']}, {recipe['late_batch']} of {recipe['late_crop']}",
    ]
