"""Help, errors and exit codes of the command line, before any verb does its work."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import click
import pytest

from calotype.cli import main as cli
from calotype.codecs import container
from calotype.errors import CalotypeError, CorruptStreamError, LimitError, ModelError, UsageError


def failing(error: BaseException) -> click.Command:
    def callback() -> None:
        raise error

    return click.Command("fail", callback=callback)


@pytest.fixture
def fail(run, monkeypatch):
    """fail(error): run a verb that raises it."""

    def call(error: BaseException, *arguments: str):
        monkeypatch.setitem(cli.VERBS, "fail", (f"{__name__}:verb", ""))
        monkeypatch.setattr(sys.modules[__name__], "verb", failing(error), raising=False)
        return run(*arguments, "fail")

    return call


def small_file(path: Path) -> Path:
    header = container.Header(media="image", codec="image", model="m", model_hash=bytes(8), width=8, height=8)
    path.write_bytes(container.write(header, [container.Chunk(container.TILE, b"1234")]))
    return path


def test_help_lists_every_verb_and_the_exit_codes(run) -> None:
    result = run("--help")
    assert result.code == 0
    assert all(name in result.out for name in cli.VERBS)
    assert "5 model missing" in " ".join(result.out.split())


def test_version_is_the_packages(run) -> None:
    from calotype import __version__

    assert run("--version") == (0, f"calotype {__version__}\n", "")


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_every_verb_has_help(run, verb: str) -> None:
    result = run(verb, "--help")
    assert result.code == 0
    assert "Usage: calotype " + verb in result.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["encode", "--frobnicate"],
        ["--frobnicate"],
        ["encode", "one"],
        ["encode", "-q", "high", "a", "b"],
        ["-q"],
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help_and_exit_code_2(run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("calotype: error: ") and result.err.count("\n") == 1
    assert "--help" in result.err or "the commands are" in result.err


@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_of_one_word_the_output_is_what_is_missing(run, verb: str) -> None:
    assert "missing argument 'OUT'" in run(verb, "clip.mp4").err
    assert "missing argument 'IN...'" in run(verb, "--threads", "1").err


def test_no_verb_shows_the_help_and_exit_code_2(run) -> None:
    result = run()
    assert (result.code, result.out) == (2, "")
    assert "Commands:" in result.err


@pytest.mark.parametrize(
    "error, code",
    [
        (CalotypeError("failed, do this"), 1),
        (UsageError("failed, do this"), 2),
        (CorruptStreamError("failed, do this"), 3),
        (LimitError("failed, do this"), 4),
        (ModelError("failed, do this"), 5),
    ],
)
def test_a_typed_error_is_one_line_and_its_exit_code(fail, error: CalotypeError, code: int) -> None:
    assert fail(error) == (code, "", "calotype: error: failed, do this\n")


def test_an_error_of_the_system_is_one_line_and_exit_code_1(fail) -> None:
    result = fail(OSError(errno.ENOSPC, "No space left on device", "a.calo"))
    assert (result.code, result.err) == (
        1,
        "calotype: error: a.calo: No space left on device; check the file, its permissions and the disk\n",
    )


def test_an_interrupt_gives_130(fail) -> None:
    assert fail(KeyboardInterrupt()) == (130, "", "calotype: error: interrupted\n")


@pytest.mark.parametrize("before", [True, False])
def test_debug_shows_the_traceback(run, tmp_path: Path, before: bool) -> None:
    missing = tmp_path / "no.calo"
    with pytest.raises(CalotypeError, match="there is no file"):
        run("--debug", "info", missing) if before else run("info", missing, "--debug")


def test_what_nobody_foresaw_is_one_line_too(spawn) -> None:
    code = "import sys, calotype.cli.main as m; sys.argv = ['calotype']; m._group = lambda: 1 / 0; sys.exit(m.main())"
    process = spawn("-c", code)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"calotype: error: internal error: ZeroDivisionError") and err.count(b"\n") == 1


def test_a_reader_that_went_away_is_no_traceback(spawn, tmp_path: Path) -> None:
    process = spawn("-m", "calotype", "info", *[small_file(tmp_path / "a.calo")] * 2000)
    process.stdout.close()
    assert process.wait(60) == cli.READER_GONE
    assert process.stderr.read() == b""


def test_info_and_help_import_neither_torch_nor_numpy(spawn, tmp_path: Path) -> None:
    code = (
        "import sys; from calotype.cli.main import main; assert main(['info', sys.argv[1]]) == main(['--help']) == 0; "
        "heavy = {'torch', 'numpy', 'numba', 'PIL', 'tqdm'} & set(sys.modules); assert not heavy, heavy"
    )
    process = spawn("-c", code, small_file(tmp_path / "a.calo"))
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
