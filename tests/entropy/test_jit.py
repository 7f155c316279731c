"""Compiling: where nothing can be cached, kernels still work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("failure", [RuntimeError("cannot cache function: no locator available"), OSError("disk full")])
def test_kernels_compile_where_no_cache_can_be_written(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    from calotype.entropy import jit

    compile_ = jit.numba.njit

    def without_cache(signature: str, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise failure
        return compile_(signature, **options)

    monkeypatch.setattr(jit.numba, "njit", without_cache)

    @jit.kernel("int64(int64[::1])")
    def first(values: np.ndarray) -> int:
        return values[0]

    assert first(np.array([7], dtype=np.int64)) == 7


def test_a_tag_becomes_part_of_the_name_that_the_cache_goes_by() -> None:
    def one(x):
        return x + 1

    from calotype.entropy.jit import kernel

    made = kernel("int64(int64)", tag="abcd1234")(one)
    assert made(1) == 2 and made.py_func.__qualname__.endswith("one_abcd1234")
