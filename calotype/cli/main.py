"""The command line: the registry of verbs, and how errors become one line and an exit code.

Exit codes: 0 done, 1 failed, 2 usage, 3 corrupt input, 4 limit exceeded, 5 model missing or mismatching,
130 interrupted, 141 the reader of our output went away, 143 terminated.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import TracebackType

import click

from ..errors import CalotypeError
from . import terminal
from .lazy import LazyGroup, debug_option

# A new verb is one line here.
VERBS = {
    "encode": ("calotype.cli.encode:encode", "Pictures to .calo files."),
    "decode": ("calotype.cli.decode:decode", ".calo files to pictures."),
    "info": ("calotype.cli.info:info", "What a .calo file says of itself."),
    "verify": ("calotype.cli.verify:verify", "Check that .calo files decode to what was encoded."),
    "models": ("calotype.cli.models:models", "The models that are installed."),
    "weights": ("calotype.cli.weights:weights", "Checkpoints in few bytes."),
    "train": ("calotype.cli.train:train", "Train and export models."),
    "eval": ("calotype.cli.eval:command", "Rate and distortion over pictures, against anchors."),
    "report": ("calotype.cli.report:report", "BD-rates, curves and pictures of runs, in one HTML file."),
    "archive": ("calotype.cli.archive:archive", "Encode big archives in many processes."),
    "bench": ("calotype.cli.bench:command", "Time parts of Calotype beside those of others."),
}
INTERRUPTED, READER_GONE, TERMINATED = 130, 141, 143  # 128 + SIGINT, SIGPIPE, SIGTERM, as shells count


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from .. import __version__

        click.echo(f"calotype {__version__}")
        ctx.exit()


def _group() -> LazyGroup:
    version = click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version."
    )
    return LazyGroup(
        "calotype",
        verbs=VERBS,
        params=[version, debug_option()],
        context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100},
        help="Learned image compression: pictures in, small .calo files out, and back, the same everywhere.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 corrupt input, 4 limit exceeded, 5 model missing or wrong.",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. argv: without the program's name; None for this process's own."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        signal.signal(signal.SIGTERM, _terminated)
        if "--debug" not in arguments:
            sys.excepthook = _unforeseen
    group = _group()
    try:
        with group.make_context("calotype", arguments) as ctx:
            try:
                code = group.invoke(ctx)
                sys.stdout.flush()
                return code if isinstance(code, int) else 0
            except (CalotypeError, OSError):
                if ctx.meta.get("calotype.debug"):
                    raise
                return _report(sys.exc_info()[1])
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        terminal.error(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        terminal.error("interrupted")
        return INTERRUPTED


def _terminated(number: int, frame: object) -> None:
    """Leave as after an error: what is half written goes."""
    raise SystemExit(TERMINATED)


def _report(error: BaseException | None) -> int:
    if isinstance(error, CalotypeError):
        terminal.error(str(error))
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        # Python flushes stdout once more on exit; give it something that can be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    assert isinstance(error, OSError)
    where = f"{error.filename}: " if error.filename else ""
    terminal.error(f"{where}{error.strerror or error}; check the file, its permissions and the disk")
    return 1


def _usage(error: click.UsageError) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show(sys.stderr)
        return error.exit_code
    path = error.ctx.command_path if error.ctx else "calotype"
    message = error.format_message().rstrip(".")
    terminal.error(f"{message[:1].lower()}{message[1:]}; see `{path} --help`")
    return error.exit_code


def _unforeseen(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In place of a traceback for what nobody foresaw; the exit code stays Python's own, 1."""
    terminal.error(f"internal error: {kind.__name__}: {error}; run again with --debug and report what it shows")
