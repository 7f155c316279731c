"""Released streams decode for ever: to the same symbols exactly, to the same picture within float rounding."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calotype.models.integer import EXECUTIONS

from make_streams import STREAMS, digests

RELEASED = json.loads((STREAMS / "digests.json").read_text()) if (STREAMS / "digests.json").exists() else {}


def test_there_are_released_streams() -> None:
    assert len(RELEASED) >= 3 and all((STREAMS / name).is_file() for name in RELEASED)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", RELEASED)
def test_a_released_stream_decodes_to_the_same_symbols_and_picture(name: str, execution: str) -> None:
    found = digests((STREAMS / name).read_bytes(), execution)
    assert found["symbols"] == RELEASED[name]["symbols"]
    assert np.abs(np.array(found["blocks"]) - np.array(RELEASED[name]["blocks"])).max() <= 0.3
