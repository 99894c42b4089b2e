"""The progress of a mean image that is not cached."""

import logging
import sys
from collections.abc import Callable

import pytest

from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.runtime import progress
from transferlab.training import inputs


def test_progress_of_a_mean_image_is_logged_only_while_it_is_computed(
    config: Callable[..., RunConfig],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(progress, "LOG_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    caplog.set_level(logging.INFO, "transferlab")
    run = resolve(config("+split=random", "transfer.variant=baseB"))
    images = inputs.load_images(run.config)
    total = len(inputs.half(run, images, "B").train)

    for _ in range(2):
        inputs.mean_image(run, images, "B", workers=0)

    counts = [message.partition("  ")[0] for message in caplog.messages]
    assert counts == [
        f"mean image of half B: {done} of {total} images" for done in (256, 512, total)
    ]
    assert caplog.messages[-1].endswith("  0:00 left")
