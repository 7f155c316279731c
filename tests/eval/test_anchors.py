from __future__ import annotations

import json

import pytest

from calotype.errors import UsageError
from calotype.eval.anchors import read_anchor


def test_a_compressai_file_gives_its_rates_and_psnrs(tmp_path):
    path = tmp_path / "vtm.json"
    path.write_text(json.dumps({"name": "VTM", "results": {"bpp": [0.1, 0.2], "psnr-rgb": [28, 30.5], "x": []}}))
    found = read_anchor(path)
    assert (found.name, found.rates, found.psnrs) == ("vtm", [0.1, 0.2], [28.0, 30.5])


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"results": {"bpp": [1]}}', '{"results": {"bpp": 1, "psnr-rgb": 2}}', '{"results": 3}'],
)
def test_other_files_are_refused_by_name(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="odd.json"):
        read_anchor(path)
    with pytest.raises(UsageError, match="absent"):
        read_anchor(tmp_path / "absent.json")
