"""What `calotype eval` measures of the codec of few indices is what its files decode to."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from calotype.codecs import container
from calotype.errors import CalotypeError
from calotype.eval.coders import make
from calotype.eval.sources import open_sources

sys.path.insert(0, str(Path(__file__).parents[1] / "codecs"))
from fsqs import write_model  # noqa: E402
from generatives import picture  # noqa: E402


def test_the_bytes_are_those_of_the_file_and_the_picture_that_of_its_decoder(tmp_path: Path) -> None:
    from PIL import Image

    model = write_model(tmp_path / "tiny.safetensors")
    (tmp_path / "pictures").mkdir()
    Image.fromarray(picture(70, 90)).save(tmp_path / "pictures" / "shapes.png")
    coder = make(f"fsq:{model}")
    coded = coder.code(next(iter(open_sources([tmp_path / "pictures"]))), 50)
    assert coded.data_bytes == len(coded.stream) and coded.differing_pixels == 0
    decoded = coder._codec.decode(container.read(coded.stream)).pixels
    assert np.array_equal(next(iter(coded.decoded.frames())), decoded)
    assert coder.label == "fsq:tiny" and coder.identity["kmac_per_pixel"] > 0


@pytest.mark.parametrize("spec", ["fsq:image-s.4", "fsq:nothing-x.9"])
def test_models_of_other_kinds_are_refused(spec: str) -> None:
    with pytest.raises(CalotypeError, match="image-s.4|nothing-x.9"):
        make(spec)
