"""Atomic writing: the old file or the new one, whole, whatever happens; nothing left behind; clear errors."""

from __future__ import annotations

import os
import platform
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from calotype import atomic
from calotype.errors import CalotypeError, UsageError

KILLS = int(os.environ.get("CALOTYPE_KILLS", "4"))  # rounds of each SIGKILL test; raise it for a long run
ROOT = Path(__file__).parents[1]
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions, links and signals")
not_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def child(code: str, *arguments: object) -> subprocess.Popen:
    """A Python process running `code`, whose first line of output has been read: it is where it should be."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


# ---- writing

@pytest.mark.parametrize("data", [b"", b"new", memoryview(b"view"), bytearray(5)])
def test_the_file_holds_the_data_and_nothing_else_is_left(tmp_path: Path, data: bytes) -> None:
    for path in (tmp_path / "a.calo", str(tmp_path / "a.calo")):
        atomic.write_bytes(path, data)
        assert (tmp_path / "a.calo").read_bytes() == bytes(data)
        assert names(tmp_path) == ["a.calo"]


def test_a_name_without_a_directory_goes_to_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    atomic.write_bytes("a.calo", b"new")
    assert names(tmp_path) == ["a.calo"]


def test_the_temporary_is_beside_the_target_and_named_after_it(tmp_path: Path) -> None:
    with atomic.replacing(tmp_path / "a.calo") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(f".a.calo.calotype-tmp-{os.getpid()}-")
        assert not (tmp_path / "a.calo").exists()
        temporary.write_bytes(b"new")
    assert names(tmp_path) == ["a.calo"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit, CalotypeError])
def test_when_the_block_raises_the_old_file_stays_and_the_error_passes(tmp_path: Path, error: type) -> None:
    target = tmp_path / "a.calo"
    target.write_bytes(b"old")
    raised = error("stop")
    with pytest.raises(error) as caught, atomic.replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise raised
    assert caught.value is raised
    assert target.read_bytes() == b"old" and names(tmp_path) == ["a.calo"]


def test_a_library_may_itself_replace_the_temporary(tmp_path: Path) -> None:
    with atomic.replacing(tmp_path / "a") as temporary:
        other = tmp_path / "other"
        other.write_bytes(b"new")
        os.replace(other, temporary)
    assert (tmp_path / "a").read_bytes() == b"new" and names(tmp_path) == ["a"]


def test_a_temporary_that_vanished_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(CalotypeError, match="cannot write"), atomic.replacing(tmp_path / "a") as temporary:
        temporary.unlink()
    assert (tmp_path / "a").read_bytes() == b"old"


def test_data_and_directory_are_synced_and_the_data_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), rename(a, b)))
    atomic.write_bytes(tmp_path / "a", b"new")
    assert events == ([False, "rename"] if os.name == "nt" else [False, "rename", True])


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permission_bits_are_those_that_open_gives(tmp_path: Path, mask: int) -> None:
    old = os.umask(mask)
    try:
        atomic.write_bytes(tmp_path / "new", b"")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask
        (tmp_path / "old").write_bytes(b"")
        (tmp_path / "old").chmod(0o640)
        atomic.write_bytes(tmp_path / "old", b"")
        assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640
    finally:
        os.umask(old)


@posix
def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(Path("sub") / "real")
    (tmp_path / "dangling").symlink_to("fresh")
    atomic.write_bytes(tmp_path / "link", b"new")
    atomic.write_bytes(tmp_path / "dangling", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "sub" / "real").read_bytes() == b"new"
    assert (tmp_path / "dangling").is_symlink() and (tmp_path / "fresh").read_bytes() == b"new"
    assert names(tmp_path / "sub") == ["real"]


@posix
@pytest.mark.parametrize("name", ["n" * 255, "\u00e9" * 127, "n" * 200])
def test_the_longest_names_that_a_file_system_allows_can_be_written(tmp_path: Path, name: str) -> None:
    atomic.write_bytes(tmp_path / name, b"new")
    assert names(tmp_path) == [name]


# ---- what cannot be written

def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="directory; give the name of a file"):
        atomic.write_bytes(tmp_path, b"")


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make it first"):
        atomic.write_bytes(tmp_path / "none" / "a", b"")


@posix
def test_a_file_in_place_of_the_directory_and_a_name_too_long_and_a_loop_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "loop").symlink_to("loop")
    for bad in (tmp_path / "file" / "a", tmp_path / ("n" * 256), tmp_path / "loop"):
        with pytest.raises(UsageError, match="cannot write"):
            atomic.write_bytes(bad, b"")
    assert names(tmp_path) == ["file", "loop"] and (tmp_path / "file").read_bytes() == b"old"


@posix
def test_a_pipe_or_a_device_is_refused_and_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for special in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError, match="not a regular file"):
            atomic.write_bytes(special, b"")
    assert (tmp_path / "pipe").is_fifo() and names(tmp_path) == ["pipe"]


@not_root
def test_an_unwritable_directory_and_a_write_protected_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "protected").write_bytes(b"old")
    (tmp_path / "protected").chmod(0o444)
    with pytest.raises(UsageError, match="write-protected"):
        atomic.write_bytes(tmp_path / "protected", b"")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(UsageError, match="permissions"):
            atomic.write_bytes(tmp_path / "a", b"")
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        ("EACCES", UsageError, "permissions"),
        ("EROFS", UsageError, "another"),
        ("ENOSPC", CalotypeError, "free some space"),
        ("EIO", CalotypeError, "check the disk"),
    ],
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_system_error_at_any_step_is_typed_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, kind: type, says: str, call: str
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    number = getattr(atomic.errno, code)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(kind, match=says) as caught:
            atomic.write_bytes(tmp_path / "a", b"new")
    assert type(caught.value) is kind and isinstance(caught.value.__cause__, OSError)
    assert (tmp_path / "a").read_bytes() == b"old" and names(tmp_path) == ["a"]


def test_a_full_disk_while_writing_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(atomic.errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", full)
        with pytest.raises(CalotypeError, match="free some space"):
            atomic.write_bytes(tmp_path / "a", b"new")
    assert names(tmp_path) == []


# ---- temporaries left by others

@posix
def test_only_abandoned_temporaries_of_the_same_target_are_removed(tmp_path: Path) -> None:
    host, other = atomic._host(), "0000" if atomic._host() != "0000" else "1111"
    gone, alive, long_ago = dead_pid(), os.getppid(), time.time() - 2 * 24 * 3600
    stale = [
        f".a.calo.calotype-tmp-{gone}-{host}00000000",
        f".a.calo.calotype-tmp-{os.getpid()}-{host}00000001",  # this process id, but not of this process's making
        f".a.calo.calotype-tmp-{2**31 + 5}-{host}00000002",
        f".a.calo.calotype-tmp-{alive}-{other}00000003",  # of another computer, two days old
    ]
    kept = [
        f".a.calo.calotype-tmp-{alive}-{host}00000004",
        f".a.calo.calotype-tmp-{gone}-{other}00000005",  # of another computer, new
        f".b.calo.calotype-tmp-{gone}-{host}00000006",
        f".a.calo.calotype-tmp-{gone}-{host}0000000",
        f".a.calo.calotype-tmp-{gone}-notes.txt",
        f"a.calo.calotype-tmp-{gone}-{host}00000007",
        "a.calo.bak",
    ]
    for name in stale + kept:
        (tmp_path / name).write_bytes(b"half")
    os.utime(tmp_path / stale[3], (long_ago, long_ago))
    atomic.write_bytes(tmp_path / "a.calo", b"new")
    assert names(tmp_path) == sorted([*kept, "a.calo"])


def test_two_writers_of_one_target_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with atomic.replacing(target) as outer:
        outer.write_bytes(b"outer")
        atomic.write_bytes(target, b"inner")
        assert target.read_bytes() == b"inner" and outer.read_bytes() == b"outer"
    assert target.read_bytes() == b"outer" and names(tmp_path) == ["a"]


def test_many_threads_writing_one_target_leave_one_whole_file(tmp_path: Path) -> None:
    whole = [bytes([i]) * 50_000 for i in range(8)]
    failed = []

    def work(data: bytes) -> None:
        try:
            for _ in range(5):
                atomic.write_bytes(tmp_path / "a", data)
        except CalotypeError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(data,)) for data in whole]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and (tmp_path / "a").read_bytes() in whole and names(tmp_path) == ["a"]


# ---- killed

WRITE_FOR_EVER = """
import sys
from calotype.atomic import write_bytes
print("ready", flush=True)
while True:
    for letter in (b"x", b"y"):
        write_bytes(sys.argv[1], letter * int(sys.argv[2]))
"""

STOP_HALF_WAY = """
import sys, time
from calotype.atomic import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(600)
"""


@posix
def test_a_process_killed_while_writing_leaves_the_old_file_and_the_next_write_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "a.calo"
    target.write_bytes(b"old")
    for _ in range(KILLS):
        process = child(STOP_HALF_WAY, target)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert target.read_bytes() == b"old" and len(names(tmp_path)) == 2
        atomic.write_bytes(target, b"old")
        assert names(tmp_path) == ["a.calo"]


@posix
def test_a_process_killed_at_any_moment_leaves_one_whole_file(tmp_path: Path) -> None:
    target, size = tmp_path / "a.calo", 2_000_000
    rng = random.Random(1)
    atomic.write_bytes(target, b"x" * size)
    for _ in range(KILLS):
        process = child(WRITE_FOR_EVER, target, size)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        data = target.read_bytes()
        assert len(data) == size and data in (b"x" * size, b"y" * size)
        assert len(names(tmp_path)) <= 2
    atomic.write_bytes(target, b"z")
    assert names(tmp_path) == ["a.calo"]


def test_the_host_tag_is_stable_and_four_hex_digits() -> None:
    assert atomic._host() == atomic._host() and len(bytes.fromhex(atomic._host())) == 2 and platform.node() is not None
