"""The progress of a mean image that is not cached."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def test_scaled_images_have_a_mean_of_their_own(config: Callable[..., RunConfig], tmp_path: Path):
    noise = np.random.default_rng(0)
    for subset in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / subset / name).mkdir(parents=True)
            pixels = noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / subset / name / "0.jpg")
    means = []
    for how in ("exact", "scaled", "exact"):
        words = ("data=image_folder", f"data.root={tmp_path}", "data.size=16", "data.crop=16")
        words += (f"data.decode={how}", "transfer.variant=baseB")
        run = resolve(config("+split=whole", *words))
        images = inputs.load_images(run.config)
        means.append(inputs.mean_image(run, images, "B", workers=0).image)
    assert np.array_equal(means[0], means[2])
    assert not np.array_equal(means[0], means[1])
