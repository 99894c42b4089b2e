"""Our loaders against torchvision's default on the same images, on one core.

The default is Pillow, RandomResizedCrop, flip, ToTensor, Normalize, in this process. Ours end with
a batch of bytes, cropped and mirrored: mean and cast are the device's. While a side is measured the
process is pinned to one core, which the thread that reads ahead shares; files are in the page
cache.

Shapes: B images of a batch, P = 227 pixels a side of a crop.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from transferlab import data
from transferlab.bench import photographs, report, turns
from transferlab.bench.processes import front_door
from transferlab.bench.report import Report
from transferlab.bench.turns import Comparison, Side
from transferlab.data import sampling
from transferlab.data.half import View
from transferlab.data.loader import Request, loader
from transferlab.data.transforms import mirrored

SIZE, CROP = 256, 227  # the paper's
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's models
DEFAULT, RAW, JPEG, FOLDER, COPY = (
    "torchvision default", "prepared raw", "prepared JPEG", "JPEG folder", "memory copy",
)  # fmt: skip
COMPARISONS = (
    Comparison(RAW, DEFAULT, "speed", 50.0),
    Comparison(RAW, COPY, "speed", 0.3),
    Comparison(JPEG, DEFAULT, "speed", 4.0),
    Comparison(FOLDER, DEFAULT, "speed", 1.4),
)
DECODED = 96  # images of a repetition that are decoded, the same on every side


@dataclass(frozen=True)
class Window:
    """What a repetition reads: `batches` of `size` images, after `skipped` that warm up."""

    size: int
    skipped: int
    batches: int

    @property
    def images(self) -> int:
        return self.size * self.batches


COPIED = Window(size=256, skipped=4, batches=16)  # every buffer of the ring was used before
READ = Window(size=16, skipped=1, batches=DECODED // 16)


def measure(*, root: Path | None, count: int, repetitions: int) -> Report:
    """All loaders over `count` images of a folder. Raises: UserError if it has no JPEGs."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        source = photographs.folder(root, place, count)
        for codec in ("raw", "jpeg"):
            front_door(place, "prepare", "--root", str(source), "--out", str(place / codec),
                       "--codec", codec)  # fmt: skip
        raw, jpeg = (view("prepared", place / codec) for codec in ("raw", "jpeg"))
        files = view("image_folder", source)
        some = sampling.permutation(0, 0, count)[:DECODED]
        sides = [
            Side(DEFAULT, lambda: by_default(source, some), len(some), "images"),
            Side(RAW, lambda: by_ours(raw, COPIED), COPIED.images, "images"),
            Side(COPY, lambda: by_copying(COPIED, count), COPIED.images, "images"),
            Side(JPEG, lambda: by_ours(jpeg, READ), READ.images, "images"),
            Side(FOLDER, lambda: by_ours(files, READ), READ.images, "images"),
        ]
        where = "scikit-learn's photographs" if root is None else root
        return report.measure(
            "loader",
            f"{count} images of {where}, crop {CROP} and mirror, on one core",
            [replace(side, measure=partial(on_one_core, side.measure)) for side in sides],
            COMPARISONS,
            repetitions=repetitions,
        )


def view(name: str, root: Path) -> View:
    """The training images of a data set."""
    val = "val" if name == "image_folder" else None
    images = data.load(name, root=str(root), val=val, holdout=None, size=SIZE, resize="warp",
                       cache=root)  # fmt: skip
    labels = images.train.labels
    return View(images.train, np.arange(len(labels)), labels, skip_unreadable=False)


def by_default(source: Path, places: np.ndarray) -> float:
    """What torchvision's examples do, in s."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    images = Subset(ImageFolder(str(source / "train"), transform), places.tolist())
    batches: DataLoader[object] = DataLoader(images, batch_size=READ.size)
    return turns.timed(lambda: list(map(len, batches)))  # type: ignore[arg-type]


def by_ours(images: View, window: Window) -> float:
    """Our loader, its batches mirrored on the host, in s."""
    # It reads ahead at the end of the window as it did at the beginning
    ahead = window.skipped + window.batches + 4
    batches = loader(images, requests(len(images), window, ahead), crop=CROP, workers=0,
                     device=torch.device("cpu"))  # fmt: skip
    start = 0.0
    for number, batch in enumerate(batches, start=1):
        mirrored(batch["pixels"], batch["flips"])
        if number == window.skipped:
            start = time.perf_counter()
        elif number == window.skipped + window.batches:
            return time.perf_counter() - start
    raise AssertionError("there are more batches than are asked for")


def requests(count: int, window: Window, batches: int) -> Iterator[Request]:
    """So many batches in random order; what comes after the skipped ones is always the same."""
    shuffled = sampling.permutation(0, 0, count)
    for number in range(-window.skipped, batches - window.skipped):
        places = shuffled.take(np.arange(window.size) + number * window.size, mode="wrap")
        corners, flips = sampling.crops(
            0, np.full(window.size, number), places, slack=SIZE - CROP, mirror=True
        )
        yield Request(places, corners, flips)


def by_copying(window: Window, count: int) -> float:
    """As many bytes from memory to memory, `count` crops of them, as a ring would take them."""
    source = np.ones((count, CROP, CROP, 3), dtype=np.uint8)
    ring = [np.ones((window.size, CROP, CROP, 3), dtype=np.uint8) for _ in range(4)]
    starts = itertools.cycle(range(0, max(count - window.size, 0) + 1, window.size))
    parts = [source[start : start + window.size] for start in
             itertools.islice(starts, window.batches)]  # fmt: skip

    def copy() -> None:
        for part, out in zip(parts, itertools.cycle(ring), strict=False):
            out[: len(part)] = part

    whole = turns.timed(copy)
    return whole * window.size / len(parts[0])


def on_one_core(measure: Callable[[], float]) -> float:
    """What `measure` finds while this process has one core, where it can be told so (not on macOS).

    Threads that it starts share the core.
    """
    if not hasattr(os, "sched_setaffinity"):
        return measure()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        return measure()
    finally:
        os.sched_setaffinity(0, before)
