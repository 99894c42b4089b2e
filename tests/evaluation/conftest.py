"""Runs that are trained once for all tests of evaluations, on coloured rectangles."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support import configs
from support.asked import HELD, RUN

from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve
from transferlab.launch import inline

CLASSES = "abcd"  # two for each half


def photographs(root: Path) -> None:
    """Noisy rectangles of two shapes, each class brighter at another place."""
    draw = np.random.default_rng(0)
    for subset, count in (("train", 16), ("val", HELD)):
        for place, name in enumerate(CLASSES):
            (root / subset / name).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 160, ((24, 30) if number % 2 else (28, 22)) + (3,))
                row, column = 11 * (place // 2), 11 * (place % 2)
                pixels[row : row + 11, column : column + 11] += 60
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(root / subset / name / f"{number}.png")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A store with baseA, its A2B, which subtracts the mean of A, and baseB; and the images."""
    place = tmp_path_factory.mktemp("evaluated")
    photographs(place / "images")
    import torch  # not for the tests that need none

    torch.set_num_threads(1)
    own = (f"data.root={place}/images", f"runtime.store={place}/runs")
    words = [*RUN, *own, f"runtime.cache={place}/cache"]
    asked = [
        build_config(configs.composed([*words, f"transfer.variant={variant}"]))
        for variant in ("A2B", "baseB")
    ]
    runs = inline.carry_out(map(resolve, asked))
    folders = {each.run.label: each.run.folder for each in runs}
    return SimpleNamespace(store=place / "runs", images=place / "images", **folders)


@pytest.fixture
def place(trained: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """A copy of the store without evaluations, and the images."""
    store = Path(shutil.copytree(trained.store, tmp_path / "runs"))
    folders = {label: store / getattr(trained, label).name for label in ("baseA", "A2B", "baseB")}
    return SimpleNamespace(store=store, images=trained.images, **folders)
