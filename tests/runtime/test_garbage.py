"""Garbage is not collected meanwhile, and afterwards as before."""

import gc
import sys
import weakref
from collections.abc import Iterator

import pytest

from transferlab.runtime import garbage
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


@pytest.fixture
def thawed() -> Iterator[None]:
    """Nothing is frozen, which the tests otherwise are."""
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    yield
    if frozen:
        gc.freeze()


@pytest.mark.usefixtures("thawed")
def test_what_was_made_meanwhile_is_old_at_once_and_garbage_of_it_is_found():
    with uncollected():
        made = [Cycle() for _ in range(gc.get_threshold()[0] + 1000)]
        gone = weakref.ref(made[0])

    assert any(each is made for each in gc.get_objects(generation=2))
    assert gc.get_freeze_count() == 0
    made.clear()
    gc.collect()
    assert gone() is None


def test_what_is_frozen_is_not_counted_where_few_objects_were_made(
    monkeypatch: pytest.MonkeyPatch,
):
    """Counting goes through all of them: a fifth of the time of the light tests, once."""
    gc.collect()
    monkeypatch.delattr(gc, "get_freeze_count")
    with uncollected():
        made = Cycle()
    assert gc.isenabled() and made


@pytest.mark.usefixtures("thawed")
def test_what_others_have_frozen_stays_so():
    gc.freeze()
    frozen = gc.get_freeze_count()

    with uncollected():
        made = [Cycle() for _ in range(gc.get_threshold()[0] + 1000)]
    made.clear()

    assert gc.get_freeze_count() == frozen > 1000
    gc.unfreeze()


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("torch", [False, True])
def test_what_is_alive_at_the_end_of_a_light_process_is_left(
    torch: bool, monkeypatch: pytest.MonkeyPatch
):
    others = {name: module for name, module in sys.modules.items() if name != "torch"}
    monkeypatch.setattr(sys, "modules", others | ({"torch": sys} if torch else {}))
    try:
        garbage.leave()
        assert (gc.get_freeze_count() > 1000) != torch
    finally:
        gc.unfreeze()
