"""The names of unreadable files: each once, in order, from all processes."""

from typing import Any

import pytest
import torch

from transferlab.training.callbacks.skipped import SkippedFiles
from transferlab.training.pack_module import PackModule


def test_names_are_collected_once_and_in_order_after_those_that_are_known(
    pack: PackModule, trainer: Any, caplog: pytest.LogCaptureFixture
):
    skipped = SkippedFiles(["old.png"])
    skipped.on_train_batch_end(trainer, pack, None, {"skipped": ("b.png", "old.png")}, 0)
    skipped.on_validation_batch_end(trainer, pack, None, {"skipped": ("a.png", "b.png")}, 0)

    assert skipped.names == ("old.png", "b.png", "a.png")
    assert caplog.messages == [f"{name} cannot be read and is skipped" for name in
                               ("b.png", "a.png")]  # fmt: skip


def test_after_a_validation_every_process_has_the_names_of_all(
    pack: PackModule, trainer: Any, monkeypatch: pytest.MonkeyPatch
):
    def gather(parts: list[Any], own: list[str]) -> None:
        parts[:] = [own, ["c.png", "a.png"]]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    trainer.world_size = 2
    skipped = SkippedFiles(["a.png"])
    skipped.on_validation_epoch_end(trainer, pack)
    assert skipped.names == ("a.png", "c.png")
