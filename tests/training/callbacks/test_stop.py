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


def stop(saves: Saves, number: int | None, *, between_steps: bool = True) -> Stop:
    request = StopRequest()
    request.number = number
    return Stop(request, save=saves.save, between_steps=lambda: between_steps, val_batches=3)


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


def waiting(saves: Saves, pack: PackModule, trainer: Any, number: int | None, **more: Any) -> Stop:
    trainer.lightning_module = pack
    requested = stop(saves, number, **more)
    requested.trainer = trainer
    return requested


def test_while_a_batch_is_awaited_it_saves_and_leaves(pack: PackModule, trainer: Any, saves: Saves):
    with pytest.raises(Stopped):
        waiting(saves, pack, trainer, signal.SIGHUP).while_waiting(0.2)
    assert saves == ["save 6", "barrier"]


def test_before_the_first_step_there_is_nothing_to_save(
    pack: PackModule, trainer: Any, saves: Saves
):
    with pytest.raises(Stopped):
        waiting(saves, pack, trainer, signal.SIGTERM, between_steps=False).while_waiting(0.2)
    assert saves == []


def test_without_a_request_it_waits(pack: PackModule, trainer: Any, saves: Saves):
    waiting(saves, pack, trainer, None).while_waiting(1000)


def test_of_several_processes_one_leaves_by_itself_only_if_the_batch_does_not_come(
    pack: PackModule, trainer: Any, saves: Saves
):
    trainer.world_size = 2
    requested = waiting(saves, pack, trainer, signal.SIGTERM)
    requested.while_waiting(9.8)
    with pytest.raises(Stopped):
        requested.while_waiting(10.0)
    assert saves == []  # the others may be within a step


def test_in_a_process_of_several_a_signal_is_only_noted(
    pack: PackModule, trainer: Any, saves: Saves, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    monkeypatch.setattr(StopRequest, "install", lambda self: saves.append("install"))
    first = stop(saves, None)
    original = first.request
    first.setup(trainer, pack, "fit")
    assert first.request is not original and first.request.only_note
    assert saves == ["install"]
