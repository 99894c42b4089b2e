"""Garbage is not collected meanwhile, and afterwards as before."""

import gc

import pytest

from transferlab.runtime.garbage import uncollected


def test_none_is_collected_meanwhile_and_then_as_before():
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():  # within another, which goes on
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_collected_again_after_an_error():
    @uncollected()
    def fail() -> None:
        raise ValueError("collected" if gc.isenabled() else "not collected")

    for _ in range(2):
        with pytest.raises(ValueError, match="^not collected$"):
            fail()
        assert gc.isenabled()


def test_a_process_that_collects_none_is_left_so():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
