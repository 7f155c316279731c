"""Frames that are pictures with numbers in their names, as in frames/%05d.png."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import UsageError

_NUMBER = re.compile(r"%0?\d*d")


def is_numbered(path: Path) -> bool:
    """Whether a path's name is a pattern with a number. Raises UsageError for more than one, or another %."""
    numbers = len(_NUMBER.findall(path.name))
    if numbers > 1 or numbers and "%" in _NUMBER.sub("", path.name):
        raise UsageError(f"{path.name} is no pattern of names; give one number, as in frame-%05d.png")
    return numbers == 1


def numbered_files(pattern: Path) -> tuple[list[Path], list[int]]:
    """The files that a pattern names, by number, and their numbers. Empty where there is none. Raises UsageError for what is no
    pattern, or in a folder that is not there."""
    is_numbered(pattern)
    before, after = _NUMBER.split(pattern.name)
    name = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    found = []
    try:
        for file in pattern.parent.iterdir():
            match = name.fullmatch(file.name)
            if match and pattern.name % int(match[1]) == file.name:
                found.append((int(match[1]), file))
    except OSError as error:
        raise UsageError(f"{pattern.parent} cannot be read ({error.strerror}); give a folder that is there") from None
    found.sort()
    return [file for _, file in found], [number for number, _ in found]
