"""What the benchmarks train: runs of a study in a store of their own, small or full-size.

`alexnet_small` learns the digits as `train=quick` does; `alexnet` the paper's recipe at 227 pixels,
on images made on the fly. Both take a folder of images instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.data.datasets import prepared
from transferlab.data.datasets.images import ArraySubset, ImageSet
from transferlab.experiment import study
from transferlab.experiment.config import RunConfig
from transferlab.experiment.study import Study

HELD_OUT = 0.2  # of the classes of a folder that has no val/
FAST = ("train.precision=bfloat16", "train.channels_last=true")  # where the device computes so
CLASSES, PER_CLASS = 1000, 2  # of the images made on the fly; in the paper's halves 500 classes


@dataclass(frozen=True)
class Trial:
    """What is trained, for how many steps, on which device (`cpu`, `gpu`, `auto`)."""

    model: str
    batch: int
    steps: int
    device: str
    root: Path | None

    @property
    def words(self) -> str:
        """`alexnet_small on digits, 60 steps of 32 images, cpu`."""
        images = "digits" if self.model == "alexnet_small" else "images made on the fly"
        where = self.root or images
        return f"{self.model} on {where}, {self.steps} steps of {self.batch} images, {self.device}"


def configs(trial: Trial, place: Path, grid: Mapping[str, Sequence[object]],
            more: Sequence[str] = ()) -> tuple[RunConfig, ...]:  # fmt: skip
    """The resolved runs of a grid over `transfer.*`, with store and cache in `place`."""
    overrides = [
        f"runtime.store={place}/runs",
        f"runtime.cache={place}/cache",
        "runtime.threads=1",
        f"runtime.accelerator={trial.device}",
        "train.epochs=null",
        f"train.total_steps={trial.steps}",
        f"train.val_every={trial.steps}",
        f"train.batch_size={trial.batch}",
        *_data(trial),
        *more,
    ]
    axes = {"split": ("random",), **_groups(trial), **{k: tuple(v) for k, v in grid.items()}}
    return study.expand(Study("bench", (axes,)), overrides)


def images(*, root: str | None, val: str | None, holdout: float | None, size: int,
           resize: str) -> ImageSet:  # fmt: skip
    """Noise in 1,000 classes, as a data set of the user's: what a step costs is the same."""
    count = CLASSES * PER_CLASS
    noise = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels = np.arange(count) % CLASSES
    train = ArraySubset(noise, labels, "noise")
    val_set = ArraySubset(noise[:CLASSES], labels[:CLASSES], "noise")
    names = tuple(f"noise{label:03}" for label in range(CLASSES))
    return ImageSet(names, "noise", train, val_set)


def _groups(trial: Trial) -> dict[str, tuple[str, ...]]:
    """The choices of conf/ that are not the defaults."""
    small = trial.model == "alexnet_small"
    if trial.root is None:
        data = "digits" if small else "imagenet"
    elif (trial.root / prepared.RECORD).exists():
        data = "prepared"
    else:
        data = "image_folder" if small else "imagenet"
    train = "quick" if small else "yosinski2014"
    return {"data": (data,), "model": (trial.model,), "train": (train,)}


def _data(trial: Trial) -> list[str]:
    """Where the images are."""
    if trial.root is None:
        made = [f"data.name={__name__}:images", "data.val=null"]
        return [] if trial.model == "alexnet_small" else made
    inside = {path.name for path in trial.root.iterdir()}
    held = (
        [] if inside & {"val", prepared.RECORD} else ["data.val=null", f"data.holdout={HELD_OUT}"]
    )
    return [f"data.root={trial.root}", *held]
