"""What the command line says: results on stdout, notes, errors and progress on stderr, progress only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import Any

import click


def error(message: str) -> None:
    """One line on stderr."""
    click.echo(f"calotype: error: {_one_line(message)}", err=True)


def note(message: str) -> None:
    """One line on stderr: something that is no error but should be known."""
    click.echo(f"calotype: note: {_one_line(message)}", err=True)


def _one_line(message: str) -> str:
    return " ".join(message.split())


def row(line: str, record: dict[str, Any], as_json: bool, piped: bool = False) -> None:
    """One result, as a line for people or as JSON; on stderr where stdout carries the file itself (`piped`)."""
    click.echo(json.dumps(record) if as_json else line, err=piped)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns of text on stdout, as wide as they must be."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


class Progress:
    """A bar over `total` files on stderr, where that is a terminal; nothing else. Use as a context manager."""

    def __init__(self, total: int, verb: str):
        self.done = 0
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
            self.bar = tqdm(total=total, desc=verb, bar_format=form, leave=False, file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()

    def begin(self, name: str) -> None:
        """The next file's name."""
        if self.bar is not None:
            self.bar.set_postfix_str(name)

    def part(self, done: int, total: int) -> None:
        """So many of so many parts of this file are done."""
        if self.bar is not None:
            self.bar.n = self.done + done / max(total, 1)
            self.bar.refresh()

    def frames(self, done: int, total: int | None, speed: float, stage: tuple[int, int, str] = (0, 1, "")) -> None:
        """So many frames of this file are done, of `total` where that is known, at `speed` a second. stage: of work that goes
        through the frames several times, the number of this time, of how many, and its name."""
        if self.bar is not None:
            left = f", {(total - done) / speed:.0f} s left" if total and speed else ""
            number, stages, name = stage
            which = f"{name} ({number + 1} of {stages}): " if name else ""
            self.bar.set_postfix_str(f"{which}frame {done}, {speed:.1f} a second{left}", refresh=False)
            self.part(number + done / (total or 2 * done), stages)

    def fit(self, done: int, total: int, db: float | None, bpp: float, left: float) -> None:
        """So much of so much of fitting this file is done; the best so far (no dB: lossless), and seconds left."""
        if self.bar is not None:
            quality = "" if db is None else f"{db:.2f} dB, "
            self.bar.set_postfix_str(f"{quality}{bpp:.3f} bpp, {left:.0f} s left; Ctrl-C writes the best", refresh=False)
            self.part(done, total)

    def end(self) -> None:
        """This file is done."""
        self.done += 1
        self.part(0, 1)

    def of(self, done: int, total: int, name: str) -> None:
        """So many of so many are done, and what comes next: for work that counts by itself."""
        if self.bar is not None:
            self.bar.total, self.bar.n = total, done
            self.bar.set_postfix_str(name)

    def aside(self) -> Any:
        """A context in which other lines may be printed."""
        if self.bar is None:
            return nullcontext()
        return type(self.bar).external_write_mode(file=sys.stdout)
