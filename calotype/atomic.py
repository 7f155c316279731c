"""Never half a file: write beside the target, fsync, rename over it.

    .NAME.calotype-tmp-PID-HOSTrand   (same directory; HOST = 4 hex digits)  --fsync, rename, fsync directory-->  NAME

A process that is killed leaves at most its temporary file; the next write of the same target removes it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from calotype.errors import CalotypeError, UsageError

_MARK = ".calotype-tmp-"
_MAX_NAME_BYTES = 180  # of the target's name within the temporary's: file systems allow 255, mark and numbers take < 45
_FOREIGN_AGE = 24 * 3600.0  # seconds after which a temporary of another computer (a shared disk) counts as abandoned
_OURS: set[str] = set()  # temporaries that this process is writing now; a dead process may have had our process id


def write_bytes(path: Path | str, data: bytes | memoryview) -> None:
    """Write `data` to `path`; after a crash at any moment the file there is the old one or the new one, whole.

    Raises UsageError when `path` cannot be a file to write (a directory, a device, missing or unwritable directory) and
    CalotypeError when writing fails (disk full, input/output error).
    """
    with replacing(path) as temporary:
        try:
            with open(temporary, "wb") as file:
                file.write(data)
        except OSError as error:
            raise _failed(path, error) from error


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it over `path` when the block ends, remove it when the block raises.

    The temporary exists (empty) and has no suffix: name the format to libraries that guess it from the suffix. Symbolic
    links are followed, as by open(). The new file has the permission bits that open() would have given. Raises as
    `write_bytes` does; what the block itself raises passes unchanged.
    """
    target = Path(os.path.realpath(path))
    old_mode = _check_target(path, target)
    prefix = _prefix(target.name)
    _remove_stale(target.parent, prefix)
    temporary = target.with_name(f"{prefix}{os.getpid()}-{_host()}{secrets.token_hex(4)}")
    try:
        _OURS.add(temporary.name)
        try:
            mode = _create(temporary)
        except OSError as error:
            raise _failed(path, error) from error
        yield temporary
        try:
            _sync_file(temporary)
            os.chmod(temporary, mode if old_mode is None else old_mode)
            os.replace(temporary, target)
            _sync_directory(target.parent)
        except OSError as error:
            raise _failed(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        _OURS.discard(temporary.name)


def _check_target(path: Path | str, target: Path) -> int | None:
    """The permission bits of the file to be replaced, None when there is none. UsageError when it cannot be written."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise UsageError(f"cannot write {path}: there is no directory {target.parent}; make it first") from None
        return None
    except OSError as error:
        raise _failed(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"cannot write {path}: it is a directory; give the name of a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"cannot write {path}: it is not a regular file; give a file name, or - for a pipe")
    if not os.access(target, os.W_OK):
        raise UsageError(f"cannot write {path}: it is write-protected; change its permissions or give another name")
    return stat.S_IMODE(status.st_mode) & 0o777


def _create(temporary: Path) -> int:
    """Make the empty temporary, which must not exist; return the permission bits that the umask left it."""
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def _sync_file(path: Path) -> None:
    # Windows can flush only what is open for writing.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_directory(path: Path) -> None:
    if os.name == "nt":  # a directory cannot be opened there
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # writable but not readable: the rename is still atomic
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot sync a directory
            raise
    finally:
        os.close(handle)


def _failed(path: Path | str, error: OSError) -> CalotypeError:
    reason = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UsageError(f"cannot write {path}: {reason}; check the directory's permissions or give another one")
    if error.errno in (errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR):
        return UsageError(f"cannot write {path}: {reason}; give another file name")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CalotypeError(f"cannot write {path}: {reason}; free some space or give another directory")
    return CalotypeError(f"cannot write {path}: {reason}; check the disk or give another directory")


# ---- temporaries of processes that were killed

def _prefix(name: str) -> str:
    while len(os.fsencode(name)) > _MAX_NAME_BYTES:
        name = name[:-1]
    return f".{name}{_MARK}"


def _host() -> str:
    return hashlib.blake2s(platform.node().encode(), digest_size=2).hexdigest()


def _remove_stale(directory: Path, prefix: str) -> None:
    with contextlib.suppress(OSError):  # cleaning is a courtesy: what cannot be listed or removed stays
        for name in os.listdir(directory):
            found = re.fullmatch(re.escape(prefix) + r"(\d{1,10})-([0-9a-f]{4})[0-9a-f]{8}", name)
            if found and _is_stale(directory / name, int(found[1]), found[2]):
                with contextlib.suppress(OSError):
                    os.unlink(directory / name)


def _is_stale(temporary: Path, pid: int, host: str) -> bool:
    if os.name == "nt" or host != _host():  # os.kill would end the process on Windows; elsewhere it is not ours to ask
        return time.time() - temporary.stat().st_mtime > _FOREIGN_AGE
    if pid == os.getpid():
        return temporary.name not in _OURS
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # alive, another user's
        return False
    return False
