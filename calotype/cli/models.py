"""`calotype models`: what is installed; `calotype models import`: what can be; `calotype models pack`: made smaller."""

from __future__ import annotations

from typing import Any

import click

from . import terminal
from .lazy import LazyGroup

VERBS = {
    "import": ("calotype.cli.models_import:import_model", "Make a model file of a CompressAI checkpoint."),
    "pack": ("calotype.cli.models_pack:pack", "Code the weights of a model file."),
}


@click.group(cls=LazyGroup, verbs=VERBS, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a model, with its whole card.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the installed models; * marks those that `calotype encode` takes for pictures and for clips."""
    if context.invoked_subcommand is None:
        _list(as_json)


def _list(as_json: bool) -> None:
    from ..models import modelfile
    from ..models.complexity import model_kmac
    from ..models.zoo import DEFAULT_IMAGE_MODEL, DEFAULT_VIDEO_MODEL, list_models

    records = []
    for model in list_models():
        records.append(
            {
                "name": model.name,
                "kind": model.kind,
                "default": model.name in (DEFAULT_IMAGE_MODEL, DEFAULT_VIDEO_MODEL),
                "parameters": model.parameters,
                "kmac_per_pixel": None if (kmac := model_kmac(model.kind, model.config)) is None else round(kmac, 2),
                "bytes": model.bytes,
                "hash": model.hash or modelfile.read(model.path)[2].hex(),
                "config": model.config,
                "card": model.card,
                "path": str(model.path),
            }
        )
    if not records:
        terminal.note("no models are installed; pass a model file with -m, or install calotype again")
    if as_json:
        for record in records:
            terminal.row("", record, True)
    elif records:
        terminal.table(
            ("", "name", "kind", "parameters", "kMAC/pixel", "MiB", "hash", "trained on"),
            [_cells(record) for record in records],
        )


def _cells(record: dict[str, Any]) -> list[str]:
    trained = record["card"].get("data", record["card"].get("trained_on", "?"))
    return [
        "*" if record["default"] else "",
        record["name"],
        record["kind"],
        f"{record['parameters']:,}",
        "?" if record["kmac_per_pixel"] is None else f"{record['kmac_per_pixel']:g}",
        f"{record['bytes'] / 2**20:.1f}",
        record["hash"][:16],
        trained if isinstance(trained, str) else ", ".join(map(str, trained)),
    ]
