"""What the benchmarks train: runs in a store of their own, small or full-size.

`alexnet_small` learns the digits as `train=quick` does; `alexnet` the paper's recipe at 227 pixels,
on noise. Both take a folder of images instead.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.bench import flags
from transferlab.data.datasets.images import ArraySubset, ImageSet
from transferlab.data.datasets.prepared_record import RECORD
from transferlab.experiment import study
from transferlab.experiment.resolve import resolve_all
from transferlab.experiment.run import Run
from transferlab.experiment.study import Study

HELD_OUT = 0.2  # of the classes of a folder that has no val/
FAST = ("train.precision=bfloat16", "train.channels_last=true")  # where the device computes so
CLASSES, PER_CLASS = 1000, 2  # of the noise; in the paper's halves 500 classes


@dataclass(frozen=True)
class Trial:
    """What is trained, for how many steps of how many images, on which device (`cpu`, `gpu`)."""

    model: str
    batch: int
    steps: int
    device: str
    root: Path | None

    def __str__(self) -> str:
        """`alexnet_small on digits, 60 steps of 32 images, cpu`."""
        images = self.root or ("digits" if self.model == "alexnet_small" else "noise")
        return f"{self.model} on {images}, {self.steps} steps of {self.batch} images, {self.device}"


def add_flags(parser: ArgumentParser, *, batch: int, steps: int) -> None:
    """Declare what is trained, with these defaults."""
    parser.add_argument("--steps", type=flags.positive, default=steps, metavar="N",
                        help="training steps (default: %(default)s)")  # fmt: skip
    parser.add_argument("--model", choices=("alexnet_small", "alexnet"), default="alexnet_small",
                        help="the network: 32 or 227 pixels (default: %(default)s)")  # fmt: skip
    parser.add_argument("--batch", type=flags.positive, default=batch, metavar="N",
                        help="images per step (default: %(default)s)")  # fmt: skip
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu",
                        help="(default: %(default)s)")  # fmt: skip
    parser.add_argument("--root", type=flags.folder, metavar="DIR",
                        help="a folder of images, train/CLASS/*, val/CLASS/* or CLASS/* "
                        "(default: the digits; at 227 pixels noise)")  # fmt: skip


def trial(selected: Namespace) -> Trial:
    """The trial that the flags describe."""
    return Trial(selected.model, selected.batch, selected.steps, selected.device, selected.root)


def runs(
    trial: Trial, store: Path, grid: Mapping[str, Sequence[object]], more: Sequence[str] = ()
) -> tuple[Run, ...]:
    """The runs of a grid over `transfer.*`, with store and cache in the folder `store`."""
    data, images = _images(trial)
    overrides = [
        f"runtime.store={store}/runs",
        f"runtime.cache={store}/cache",
        "runtime.threads=1",
        f"runtime.accelerator={trial.device}",
        "train.epochs=null",
        f"train.total_steps={trial.steps}",
        f"train.val_every={trial.steps}",
        f"train.batch_size={trial.batch}",
        *images,
        *more,
    ]
    recipe = "quick" if trial.model == "alexnet_small" else "yosinski2014"
    choices = {"split": "random", "data": data, "model": trial.model, "train": recipe}
    axes: dict[str, tuple[object, ...]] = {key: (choice,) for key, choice in choices.items()}
    axes |= {key: tuple(values) for key, values in grid.items()}
    return resolve_all(study.expand(Study("bench", (axes,)), overrides))


def noise(*, root: str | None, val: str | None, holdout: float | None, size: int,
          resize: str) -> ImageSet:  # fmt: skip
    """Noise in 1,000 classes, as a custom data set: a step costs what it does on images."""
    count = CLASSES * PER_CLASS
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels = np.arange(count) % CLASSES
    names = tuple(f"noise{label:03}" for label in range(CLASSES))
    val_set = ArraySubset(pixels[:CLASSES], labels[:CLASSES], "noise")
    return ImageSet(names, "noise", ArraySubset(pixels, labels, "noise"), val_set)


def _images(trial: Trial) -> tuple[str, list[str]]:
    """The choice of `data`, and the overrides that say where the images are."""
    small, root = trial.model == "alexnet_small", trial.root
    if root is None:
        made = ("imagenet", [f"data.name={__name__}:noise", "data.val=null"])
        return ("digits", []) if small else made
    names = {path.name for path in root.iterdir()}
    if RECORD in names:
        return "prepared", [f"data.root={root}"]
    split = [] if "val" in names else ["data.val=null", f"data.holdout={HELD_OUT}"]
    return "image_folder" if small else "imagenet", [f"data.root={root}", *split]
