from __future__ import annotations

from pathlib import Path

import pytest
from fake_coder import make_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small pictures of two sizes, and a file that is no picture."""
    here = tmp_path / "pictures"
    here.mkdir()
    for number, size in enumerate([(40, 24), (24, 40), (40, 24)], 1):
        make_picture(here / f"p{number}.png", *size, seed=number)
    (here / "notes.txt").write_text("no picture")
    return here


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timings that nobody reads need no quiet before them."""
    from calotype.eval import turns

    monkeypatch.setattr(turns, "REST", 0.0)
