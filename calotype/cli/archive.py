"""`calotype archive`: encode a big archive with many processes or machines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from . import options, terminal
from .eval import shard_of

_PATH = click.Path(path_type=Path)


@click.group(no_args_is_help=True)
def archive() -> None:
    """Encode big archives: list the pictures once, then encode them in as many processes as there are."""


@archive.command("list")
@click.argument("folder", type=_PATH)
@click.argument("manifest", type=_PATH)
def list_(folder: Path, manifest: Path) -> None:
    """Write the pictures below FOLDER into MANIFEST (JSONL, a picture a line)."""
    from ..codecs.archive import list_pictures, write_manifest

    entries = list_pictures(folder)
    write_manifest(manifest, entries)
    click.echo(f"{len(entries)} pictures in {manifest}")


@archive.command("encode")
@click.argument("manifest", type=_PATH)
@click.argument("out", type=_PATH)
@click.option("-q", "--quality", type=click.FloatRange(0, 100), default=50.0, show_default=True, help="The dial.")
@click.option("-m", "--model", help="A name that `calotype models` lists, or a model file.")
@click.option("--shard", callback=shard_of, help="Only the I-th of N parts of the manifest, as 0/4.")
@click.option("--drop-alpha", is_flag=True, help="Drop transparency instead of refusing it.")
@click.option("--ray", "on_ray", is_flag=True, help="Spread over a Ray cluster (or this machine) with Ray Data.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Actors, with --ray.")
@click.option("--gpus", type=float, default=0.0, show_default=True, help="GPUs an actor, with --ray.")
@options.machine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a picture.")
def encode(
    manifest: Path,
    out: Path,
    quality: float,
    model: str | None,
    shard: tuple[int, int] | None,
    drop_alpha: bool,
    on_ray: bool,
    workers: int,
    gpus: float,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Encode the pictures of MANIFEST into the folder OUT.

    Files that are there already, of this model and quality, are kept: the same command goes on where one was killed.
    Exits with 1 where a picture failed.
    """
    from ..codecs.archive import Job, encode_archive, encode_on_ray, read_manifest
    from ..shards import in_shard

    entries = [e for e in read_manifest(manifest) if shard is None or in_shard(e.name, *shard)]
    job = Job(out.resolve(), quality, model, device, drop_alpha)
    if on_ray:
        records = encode_on_ray(entries, job, workers, gpus)
    else:
        options.prepare(device, threads)
        records = encode_archive(entries, job)
    states, size = Counter(), 0
    with terminal.Progress(len(entries), "encode") as progress:
        for record in records:
            states[record["state"]] += 1
            size += record["bytes"]
            with progress.aside():
                if record["state"] == "failed":
                    terminal.error(f"{record['name']}: {record['error']}")
                elif as_json:
                    terminal.row("", record, True)
            progress.end()
    terminal.note(f"{states['encoded']} encoded, {states['kept']} kept, {states['failed']} failed, {size} bytes in {out}")
    if states["failed"]:
        raise click.exceptions.Exit(1)
