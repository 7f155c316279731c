"""`calotype weights`: anyone's safetensors checkpoint in few bytes, on a grid or bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from . import terminal
from .lazy import LazyGroup
from .options import Bytes

if TYPE_CHECKING:
    import numpy as np

VERBS = {
    "pack": ("calotype.cli.weights:pack", "Code a safetensors file."),
    "unpack": ("calotype.cli.weights:unpack", "A safetensors file of a coded one."),
    "info": ("calotype.cli.weights:info", "What a coded file says of itself."),
}
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=LazyGroup, verbs=VERBS, no_args_is_help=True)
def weights() -> None:
    """Code the weights of any network: safetensors in, a small file out, and back."""


_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_limit = click.option("--max-bytes", type=Bytes(), default="4Gi", show_default=True, help="Refuse tensors of more bytes.")
_previous = click.option("--previous", type=_FILE, help="A checkpoint like it, which packing and unpacking both need.")


@click.command(no_args_is_help=True)
@click.argument("file", type=_FILE)
@click.argument("out", type=_FILE)
@click.option("--bits", type=click.IntRange(2, 16), help="Of the levels of a tensor's largest weight.  [default: 8]")
@click.option("--step", type=click.FloatRange(0, min_open=True), help="One step for all tensors instead.")
@click.option("--lmbda", type=click.FloatRange(0, 16), help="Squared steps that a bit is worth; 0 rounds.  [default: 0.1]")
@click.option("--prune", type=click.FloatRange(0, 1), help="Share of a tensor's weights, the smallest, that become 0.")
@click.option("--importance", type=_FILE, help="Safetensors file: what a squared error in each weight costs.")
@click.option("--exact", is_flag=True, help="Keep every bit.")
@_previous
@_limit
@_json
def pack(
    file: Path,
    out: Path,
    bits: int | None,
    step: float | None,
    lmbda: float | None,
    prune: float | None,
    importance: Path | None,
    exact: bool,
    previous: Path | None,
    max_bytes: int,
    as_json: bool,
) -> None:
    """Code the tensors of the safetensors file FILE to OUT.

    Tensors of floats with two or more axes go on a grid; all others, and with --exact all, keep every bit. With --importance,
    tensors of FILE's names and shapes (mean squares of the loss's derivatives by each weight, say), rows and columns get steps
    by it: much less harm in as many bytes.
    """
    lossy = {"bits": bits, "step": step, "lmbda": lmbda, "prune": prune}
    given = {name: value for name, value in lossy.items() if value is not None}
    if exact and (given or importance):
        raise UsageError(f"--exact keeps every bit: leave --{min(given, default='importance')} out")
    if bits is not None and step is not None:
        raise UsageError("--bits and --step both choose the grid: give one of them")
    from ..models import checkpointcoder, packedfile, safetensorsfile

    checkpoint = safetensorsfile.read(file, max_bytes)
    old = safetensorsfile.read(previous, max_bytes) if previous else None
    costs = _costs(importance, max_bytes) if importance else None
    packed = checkpointcoder.encode(checkpoint, checkpointcoder.Options(**given, exact=exact), old, costs)
    size = packedfile.write(out, packed)
    on_grid = sum(record.step is not None for record in packed.records)
    if costs and not any(record.scaled for record in packed.records):
        terminal.note(f"{importance}: it names no tensor that goes on a grid")
    if not on_grid and not exact and packed.records:
        terminal.note(f"{file}: no tensor of finite floats with two axes, all keep every bit")
    if old is not None and packed.previous is None:
        terminal.note(f"{out}: the previous checkpoint made nothing smaller and is not needed to unpack it")
    before = file.stat().st_size
    record = {"path": str(out), "bytes": size, "bytes_before": before, "tensors": len(packed.records), "on_grid": on_grid}
    share = 100 * size / max(before, 1)
    line = f"{out}: {size} bytes, {share:.1f} % of {before}; {len(packed.records)} tensors, {on_grid} of them on a grid"
    terminal.row(line, record | {"previous": packed.previous.hex() if packed.previous else None}, as_json)


def _costs(path: Path, limit: int) -> dict[str, np.ndarray]:
    """float64, in their shapes, of a file of importance. Raises UsageError where they are no floats."""
    from ..models import safetensorsfile

    found = {}
    for name, tensor in safetensorsfile.read(path, limit).tensors.items():
        if tensor.dtype not in safetensorsfile.FLOATS:
            raise UsageError(f"{path}: importance is floats, tensor {name!r} is {tensor.dtype}")
        found[name] = safetensorsfile.values_of(tensor).reshape(tensor.shape)
    return found


@click.command(no_args_is_help=True)
@click.argument("file", type=_FILE)
@click.argument("out", type=_FILE)
@_previous
@_limit
@_json
def unpack(file: Path, out: Path, previous: Path | None, max_bytes: int, as_json: bool) -> None:
    """Write the tensors of FILE, made by `calotype weights pack`, to the safetensors file OUT."""
    from ..models import checkpointcoder, packedfile, safetensorsfile

    packed = packedfile.read(file, max_bytes)
    old = safetensorsfile.read(previous, max_bytes) if previous and packed.previous else None
    checkpoint = checkpointcoder.decode(packed, old)
    safetensorsfile.write(out, checkpoint)
    record = {"path": str(out), "bytes": out.stat().st_size, "tensors": len(checkpoint.tensors)}
    terminal.row(f"{out}: {record['bytes']} bytes, {record['tensors']} tensors", record, as_json)


@click.command(no_args_is_help=True)
@click.argument("file", type=_FILE)
@_json
def info(file: Path, as_json: bool) -> None:
    """Show what FILE, made by `calotype weights pack`, says of itself, without decoding its tensors."""
    from ..models import packedfile

    packed = packedfile.read(file, 1 << 62)  # nothing is allocated for what it claims
    previous = packed.previous.hex() if packed.previous else None
    record = {
        "path": str(file),
        "bytes": file.stat().st_size,
        "bytes_of_levels": len(packed.levels),
        "bytes_of_plain": len(packed.plain),
        "previous": previous,
        "metadata": packed.metadata,
        "tensors": [dict(zip(tensor._fields, tensor, strict=True)) for tensor in packed.records],
    }
    lines = [
        f"{file}: {record['bytes']} bytes, {len(packed.levels)} of levels, {len(packed.plain)} of other bits",
        f"  previous checkpoint: {previous or 'none needed'}",
    ]
    for tensor in packed.records:
        grid = "exact" if tensor.step is None else f"step {tensor.step:.6g}{' by row and column' if tensor.scaled else ''}"
        lines.append(f"  {tensor.name}: {tensor.dtype} {list(tensor.shape)}, {grid}, {tensor.coding}")
    terminal.row("\n".join(lines), record, as_json)
