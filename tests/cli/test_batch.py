"""Which files are made from the arguments, and what happens when some of them fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from calotype.cli import batch, terminal
from calotype.errors import CorruptStreamError, UsageError

WANTED = {".png", ".jpg"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree to choose from, as the current directory."""
    for name in (
        "a.png",
        "tree/b.png",
        "tree/c.JPG",
        "tree/deep/d.png",
        "tree/deep/notes.txt",
        "tree/.hidden/e.png",
        "tree/.f.png",
        "same/x.png",
        "same/x.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(inputs: list[str], out: str) -> dict[str, str]:
    jobs = batch.plan(inputs, out, WANTED, ".calo", WANTED)
    return {str(job.source): str(job.target) for job in jobs}


def test_one_file_becomes_the_file_out() -> None:
    assert made(["a.png"], "b.calo") == {"a.png": "b.calo"}
    assert made(["tree/deep/notes.txt"], "b") == {"tree/deep/notes.txt": "b"}


def test_one_file_goes_into_a_folder_that_exists_or_is_written_as_one(here: Path) -> None:
    assert made(["a.png"], "same") == {"a.png": "same/a.calo"}
    assert made(["a.png"], "new/") == {"a.png": "new/a.calo"}


def test_several_files_go_into_a_folder() -> None:
    assert made(["a.png", "tree/b.png"], "out") == {"a.png": "out/a.calo", "tree/b.png": "out/b.calo"}


def test_a_folder_keeps_its_tree_and_leaves_out_what_is_hidden_or_no_picture() -> None:
    expected = {"tree/b.png": "out/b.calo", "tree/c.JPG": "out/c.calo", "tree/deep/d.png": "out/deep/d.calo"}
    assert made(["tree"], "out") == made(["tree/"], "out") == expected


def test_several_folders_keep_their_names() -> None:
    found = made(["tree", "same"], "out")
    assert found["tree/deep/d.png"] == "out/tree/deep/d.calo"
    assert found["same/x.png"] == "out/same/x.png.calo"


def test_a_pattern_that_the_shell_did_not_expand_keeps_the_tree_below_it() -> None:
    assert made(["tree/**/*.png"], "out") == {"tree/b.png": "out/b.calo", "tree/deep/d.png": "out/deep/d.calo"}
    assert made(["tree/*"], "out") == {
        "tree/b.png": "out/b.calo",
        "tree/c.JPG": "out/c.calo",
        "tree/deep/d.png": "out/deep/d.calo",
    }
    assert made(["tree/deep/*.txt"], "out") == {"tree/deep/notes.txt": "out/notes.calo"}


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(here: Path) -> None:
    (here / "[1].png").write_bytes(b"x")
    assert made(["[1].png"], "b.calo") == {"[1].png": "b.calo"}


def test_pictures_that_differ_only_in_suffix_keep_it() -> None:
    assert made(["same"], "out") == {"same/x.jpg": "out/x.jpg.calo", "same/x.png": "out/x.png.calo"}


@pytest.mark.parametrize(
    "inputs, out, says",
    [
        (["a.png", "tree/b.png"], "a.png", "must be a folder"),
        (["a.png", "tree/b.png"], "-", "one pipe"),
        (["-", "a.png"], "out", "standard input"),
        (["*.webp"], "out", "nothing in"),
        (["tree/.hidden/.."], "a.png", "must be a folder"),
        (["a.png"], "other.png", "the last name given is OUT"),
        (["a.png", "./same/../a.png"], "out", "two of the inputs"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(inputs: list[str], out: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        made(inputs, out)


def test_an_empty_folder_is_refused(here: Path) -> None:
    (here / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing in empty has a name that ends in .jpg .png"):
        made(["empty"], "out")


def test_a_file_is_never_written_over_its_own_source(here: Path) -> None:
    os.link("a.png", "a.calo")
    with pytest.raises(UsageError, match="over the file it is made from"):
        made(["a.png"], "a.calo")


def jobs(here: Path, *names: str) -> list[batch.Job]:
    return [batch.Job(Path(name), here / "out" / name, True) for name in names]


def fail_bad(job: batch.Job, progress: terminal.Progress) -> None:
    if "bad" in job.name:
        raise CorruptStreamError("it is damaged")
    if "gone" in job.name:
        raise FileNotFoundError(2, "No such file", job.name)
    job.target.write_bytes(b"done")


def test_one_bad_file_does_not_stop_the_others_and_the_end_names_it(here: Path, capsys) -> None:
    with pytest.raises(batch.BatchError, match="1 of 3 files failed: bad") as caught:
        batch.run(jobs(here, "a", "bad", "c"), fail_bad, "encode", False, False)
    assert caught.value.exit_code == 3
    assert sorted(os.listdir(here / "out")) == ["a", "c"]
    assert capsys.readouterr().err == "calotype: error: bad: it is damaged\n"


def test_files_that_failed_for_different_reasons_give_exit_code_1(here: Path, capsys) -> None:
    with pytest.raises(batch.BatchError, match="2 of 2 files failed: bad, gone") as caught:
        batch.run(jobs(here, "bad", "gone"), fail_bad, "encode", False, True)
    assert caught.value.exit_code == 1
    assert '"exit_code": 3' in capsys.readouterr().out


def test_no_clobber_keeps_what_exists(here: Path, capsys) -> None:
    (here / "out").mkdir()
    (here / "out" / "a").write_bytes(b"old")
    batch.run(jobs(here, "a", "b"), fail_bad, "encode", True, False)
    assert (here / "out" / "a").read_bytes() == b"old"
    assert "exists and is kept" in capsys.readouterr().err
