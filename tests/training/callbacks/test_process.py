"""A process that Lightning starts logs to the runs' files, and has its threads set."""

import logging
import multiprocessing
from typing import Any

import pytest
import torch

from transferlab.experiment.run import Run
from transferlab.runtime import logs
from transferlab.training.callbacks.process import ChildProcess
from transferlab.training.pack_module import PackModule


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    numbers: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    monkeypatch.setattr(logs, "to_stderr", lambda: None)
    return numbers


@pytest.mark.parametrize(
    ("child", "first", "logged"), [(True, True, 2), (True, False, 0), (False, True, 0)]
)
@pytest.mark.parametrize("ending", ["teardown", "on_exception"])
def test_the_first_of_the_processes_logs_to_the_files_until_the_end(
    pack: PackModule, runs: list[Run], trainer: Any, threads: list[int],
    monkeypatch: pytest.MonkeyPatch, child: bool, first: bool, logged: int, ending: str,
):  # fmt: skip
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object() if child else None)
    trainer.is_global_zero = first
    callback = ChildProcess(runs, threads=3)
    callback.setup(trainer, pack, "fit")
    logging.getLogger("transferlab").warning("during")
    getattr(callback, ending)(trainer, pack, "fit")
    logging.getLogger("transferlab").warning("after")

    texts = [run.log_file.read_text() for run in runs if run.log_file.exists()]
    assert len(texts) == logged
    assert all("during" in text and "after" not in text for text in texts)
    assert threads == ([3] if child else [])


def test_threads_that_are_not_given_are_torchs_choice(
    pack: PackModule, runs: list[Run], trainer: Any, threads: list[int],
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    callback = ChildProcess(runs, threads=None)
    callback.setup(trainer, pack, "fit")
    callback.teardown(trainer, pack, "fit")
    assert threads == []
