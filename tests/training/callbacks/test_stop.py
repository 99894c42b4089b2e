"""A requested stop: everything is saved, then all processes leave at one step."""

import multiprocessing
import signal
from typing import Any

import pytest
import torch

from transferlab.runtime.signals import StopRequest
from transferlab.training.callbacks.stop import Stop, Stopped
from transferlab.training.pack_module import PackModule


class Saves(list[str]):
    """What a stop does, in order: `save` and `barrier`."""

    def save(self, trainer: Any, module: PackModule) -> None:
        self.append(f"save {module.step}")


@pytest.fixture
def saves(trainer: Any) -> Saves:
    saves = Saves()
    trainer.strategy.barrier = lambda: saves.append("barrier")
    return saves


def stop(saves: Saves, number: int | None) -> Stop:
    request = StopRequest()
    request.number = number
    return Stop(request, save=saves.save, val_batches=3)


def test_after_a_step_it_saves_meets_the_others_and_leaves(
    pack: PackModule, trainer: Any, saves: Saves
):
    with pytest.raises(Stopped):
        stop(saves, signal.SIGTERM).on_train_batch_end(trainer, pack, None, {}, 0)
    assert saves == ["save 6", "barrier"]


@pytest.mark.parametrize(("batch_idx", "leaves"), [(0, True), (2, True), (3, False)])
def test_it_leaves_a_validation_after_a_batch_that_every_process_has(
    pack: PackModule, trainer: Any, saves: Saves, batch_idx: int, leaves: bool
):
    requested = stop(saves, signal.SIGUSR1)
    if leaves:
        with pytest.raises(Stopped):
            requested.on_validation_batch_end(trainer, pack, None, {}, batch_idx)
    else:
        requested.on_validation_batch_end(trainer, pack, None, {}, batch_idx)
    assert saves == (["save 6", "barrier"] if leaves else [])


def test_without_a_request_training_continues(pack: PackModule, trainer: Any, saves: Saves):
    waiting = stop(saves, None)
    waiting.on_train_batch_end(trainer, pack, None, {}, 0)
    waiting.on_validation_batch_end(trainer, pack, None, {}, 0)
    assert saves == []


@pytest.mark.parametrize(("own", "others"), [(None, 1), (signal.SIGTERM, 0)])
def test_one_process_that_was_asked_stops_all(
    pack: PackModule, trainer: Any, saves: Saves, monkeypatch: pytest.MonkeyPatch,
    own: int | None, others: int,
):  # fmt: skip
    trainer.world_size = 2
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda votes, group: votes.add_(others))
    with pytest.raises(Stopped):
        stop(saves, own).on_train_batch_end(trainer, pack, None, {}, 0)
    assert saves == ["save 6", "barrier"]


def test_several_processes_of_which_none_was_asked_go_on(
    pack: PackModule, trainer: Any, saves: Saves, monkeypatch: pytest.MonkeyPatch
):
    trainer.world_size = 2
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda votes, group: votes)
    stop(saves, None).on_train_batch_end(trainer, pack, None, {}, 0)
    assert saves == []


@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_start", "on_validation_start"])
def test_the_handlers_that_lightning_installed_are_displaced(
    pack: PackModule, trainer: Any, saves: Saves, hook: str
):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    requested = stop(saves, None)
    try:
        getattr(requested, hook)(trainer, pack)
        assert [signal.getsignal(number) for number in numbers] == 3 * [requested.request]
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def test_in_a_process_of_several_a_signal_is_only_noted(
    pack: PackModule, trainer: Any, saves: Saves, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    first = stop(saves, None)
    original = first.request
    first.setup(trainer, pack, "fit")
    assert first.request is not original and first.request.only_note
