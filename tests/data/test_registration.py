"""A file and a line in `DATASETS` add a data set: it is planned and trained like the others."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from transferlab import data
from transferlab.data.datasets.images import ArraySubset, DataSet, Description, ImageSet
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve

LABELS = np.arange(40) % 4


class Shapes(DataSet):
    """All that the file of a new data set holds: here, four classes of ten grey images."""

    def describe(self) -> Description:
        return Description(("circle", "line", "square", "star"), "5" * 64)

    def train_counts(self) -> tuple[int, ...]:
        return (10,) * 4

    def load(self, *, size: int, resize: str, decode: str, cache: Path) -> ImageSet:
        pixels = np.empty((40, size, size, 3), np.uint8)
        pixels[:] = (LABELS * 60)[:, None, None, None]
        described, subset = self.describe(), ArraySubset(pixels, LABELS, "shapes")
        return ImageSet(described.classes, described.digest, subset, subset)


def test_a_run_of_a_new_data_set_is_planned_and_trained(
    config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
):
    from transferlab.experiment.cost import estimate
    from transferlab.launch import inline

    module = ModuleType("shapes")
    module.Shapes = Shapes  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shapes", module)
    monkeypatch.setitem(data.DATASETS, "shapes", "shapes:Shapes")
    small = ("data.size=16", "data.crop=16", "train.epochs=null", "train.total_steps=4")
    run_config = config(
        "+split=random", "data.name=shapes", *small, "train.batch_size=5", "transfer.n=1"
    )

    assert set(estimate.class_counts(run_config.data).values()) == {10}
    base, run = inline.carry_out([resolve(run_config)])

    assert (base.run.label, run.run.label) == ("baseA", "A1B")
    assert run.result["config"]["data"]["digest"] == "5" * 64
    assert run.result["metrics"]["chance"] == 0.5
