"""The names of unreadable files: each once, in order, from all processes."""

from typing import Any

import pytest
import torch

from transferlab.training.callbacks.skipped import SkippedFiles
from transferlab.training.pack_module import PackModule


def test_names_are_collected_once_and_in_order_after_those_that_are_known(
    pack: PackModule, trainer: Any, caplog: pytest.LogCaptureFixture
):
    skipped = SkippedFiles([{"old.png": "00"}, {"mean.png": "11"}])
    for files in ({"b.png": "bb", "old.png": "00"}, {}):
        skipped.on_train_batch_end(trainer, pack, None, {"skipped": files}, 0)
    validated = {"skipped": {"a.png": "aa", "b.png": "bb"}}
    skipped.on_validation_batch_end(trainer, pack, None, validated, 0)

    assert list(skipped.files.items()) == [
        ("old.png", "00"), ("mean.png", "11"), ("b.png", "bb"), ("a.png", "aa")
    ]  # fmt: skip
    assert caplog.messages == [f"{name} cannot be read and is skipped" for name in
                               ("b.png", "a.png")]  # fmt: skip


def test_after_a_validation_every_process_has_the_names_of_all(
    pack: PackModule, trainer: Any, monkeypatch: pytest.MonkeyPatch
):
    def gather(parts: list[Any], own: dict[str, str]) -> None:
        parts[:] = [own, {"c.png": "cc", "a.png": "aa"}]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    trainer.world_size = 2
    skipped = SkippedFiles([{"a.png": "aa"}])
    skipped.on_validation_epoch_end(trainer, pack)
    assert skipped.files == {"a.png": "aa", "c.png": "cc"}
