"""Our loaders against torchvision's default on the same images, on one core.

The default is Pillow, RandomResizedCrop, flip, ToTensor, Normalize, in this process. Ours end with
a batch of bytes, cropped and mirrored: mean and cast are done on the device. In training so is the
mirroring, which is more work than reading prepared raw images; these are also measured as they
leave the loader, not mirrored. While a side is measured the process is pinned to one core, which
the thread that reads ahead shares; files are in the page cache. So nothing waits, and processor
time is measured, which other processes disturb less.

Shapes: B images of a batch, P = 227 pixels a side of a crop.
"""

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from transferlab import data
from transferlab.bench import flags, harness, others, photographs
from transferlab.bench.harness import Check, Comparison, Report, Side
from transferlab.bench.processes import command
from transferlab.data.half import View
from transferlab.data.loader import Stream, loader
from transferlab.data.sampling import Augmentation
from transferlab.data.transforms import mirror

REPETITIONS = 5
CLOCK = time.process_time
SIZE, CROP = 256, 227  # the paper's
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's models
SMALL = 32  # pixels a side, without a crop
DEFAULT, RAW, JPEG, FOLDER, COPY = (
    "torchvision default", "prepared raw", "prepared JPEG", "JPEG folder", "memory copy",
)  # fmt: skip
LEFT, CROPS = "prepared raw, not mirrored", "crops in memory"
SCALED, FULL_SMALL, SCALED_SMALL = (
    "JPEG folder, scaled", "JPEG folder to 32", "JPEG folder, scaled to 32",
)  # fmt: skip
COMPARISONS = (
    Comparison(RAW, DEFAULT, "speed", 50.0),
    Comparison(RAW, COPY, "speed", 0.3),
    Comparison(LEFT, COPY, "speed", 0.6),
    Comparison(LEFT, CROPS, "speed", 0.85),
    Comparison(JPEG, DEFAULT, "speed", 4.0),
    Comparison(FOLDER, DEFAULT, "speed", 2.0),
    Comparison(SCALED, DEFAULT, "speed", 2.0),
    Comparison(SCALED_SMALL, FULL_SMALL, "speed", None),
)


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
READ = Window(size=16, skipped=1, batches=12)  # decoded, the same images on every side


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--root", type=flags.folder, metavar="DIR",
                        help="JPEGs, CLASS/* or train/CLASS/* (default: two photographs that come "
                        "with scikit-learn, cut into 64)")  # fmt: skip
    parser.add_argument("--images", type=flags.positive, default=512, metavar="N",
                        help="number of images (default: %(default)s, more than a cache "
                        "holds)")  # fmt: skip


def measure(selected: Namespace) -> Report:
    """All loaders over images of a folder. Raises: UserError if it has no JPEGs."""
    torch.set_num_threads(1)
    root, count = selected.root, selected.images
    with TemporaryDirectory() as name:
        folder = Path(name)
        source = root or photographs.cut(folder / "photographs")
        images = photographs.link(source, folder / "linked", count)
        for codec in ("raw", "jpeg"):
            command(folder, "prepare", "--root", str(images), "--out", str(folder / codec),
                    "--codec", codec)  # fmt: skip
        raw, jpeg = (_view("prepared", folder / codec) for codec in ("raw", "jpeg"))
        files = _view("image_folder", images)
        requests = islice(_requests(files, READ), READ.skipped, READ.skipped + READ.batches)
        decoded = np.concatenate([request.indices for request in requests])
        sides = [
            Side(DEFAULT, lambda: _by_default(images, decoded), len(decoded), "images"),
            Side(RAW, lambda: _by_ours(raw, COPIED), COPIED.images, "images"),
            Side(COPY, lambda: _by_copying(COPIED, count), COPIED.images, "images"),
            Side(LEFT, lambda: _by_ours(raw, COPIED, mirrored=False), COPIED.images, "images"),
            Side(CROPS, lambda: _by_cropping(COPIED, count), COPIED.images, "images"),
            Side(JPEG, lambda: _by_ours(jpeg, READ), READ.images, "images"),
            Side(FOLDER, lambda: _by_ours(files, READ), READ.images, "images"),
        ]
        for name, size, how in (
            (SCALED, SIZE, "scaled"), (FULL_SMALL, SMALL, "exact"), (SCALED_SMALL, SMALL, "scaled"),
        ):  # fmt: skip
            view = _view("image_folder", images, size=size, decode=how)
            read = partial(_by_ours, view, READ, crop=min(size, CROP))
            sides.append(Side(name, read, READ.images, "images"))
        names = [files.subset.name(position) for position in decoded.tolist()]
        measured = others.measures(names, size=SIZE, crop=CROP, batch=READ.size)
        sides += [Side(name, each, len(names), "images") for name, each in measured.items()]
        return harness.measure(
            "loader",
            f"{count} images of {root or 'two photographs'}, crop {CROP} and mirror, on one core",
            [replace(side, measure=partial(_on_one_core, side.measure)) for side in sides],
            (*COMPARISONS, *(Comparison(FOLDER, n, "speed", others.TARGETS[n]) for n in measured)),
            repetitions=selected.repetitions,
            checks=lambda: [
                Check(name, None, "not installed")
                for name in others.MODULES
                if name not in measured
            ],
        )


def _view(name: str, root: Path, *, size: int = SIZE, decode: str = "exact") -> View:
    """The training images of a data set."""
    val = "val" if name == "image_folder" else None
    images = data.load(name, root=str(root), val=val, holdout=None, size=size, resize="warp",
                       decode=decode, cache=root)  # fmt: skip
    labels = images.train.labels
    return View(images.train, np.arange(len(labels)), labels, skip_unreadable=False)


def _by_default(folder: Path, indices: np.ndarray) -> float:
    """The time in s of what torchvision's examples do."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    images = Subset(ImageFolder(str(folder / "train"), transform), indices.tolist())
    batches: DataLoader[object] = DataLoader(images, batch_size=READ.size)
    return harness.timed(lambda: list(map(len, batches)), CLOCK)  # type: ignore[arg-type]


def _by_ours(images: View, window: Window, *, mirrored: bool = True, crop: int = CROP) -> float:
    """The time in s of our loader; `mirrored`: with its batches mirrored on the host."""
    batches = loader(images, _requests(images, window), crop=crop, workers=0,
                     device=torch.device("cpu"))  # fmt: skip
    start = end = 0.0
    for number, batch in enumerate(batches, start=1):
        if mirrored:
            mirror(batch["pixels"], batch["flips"])
        if number == window.skipped:
            start = CLOCK()
        elif number == window.skipped + window.batches:
            end = CLOCK()  # here: to leave waits for the batch that is being read ahead
            break
    return end - start


def _requests(images: View, window: Window) -> Stream:
    """The window's, and four more: it reads ahead at the end as it did at the beginning."""
    return Stream(
        count=len(images),
        seed=0,
        start_step=0,
        total_steps=window.skipped + window.batches + 4,
        batch_size=window.size,
        reshuffle=True,
        augmentation=Augmentation(mirror=True, pad=0, scales=None, pca=0.0, one_size=True),
        rank=0,
        world_size=1,
    )


def _by_copying(window: Window, count: int) -> float:
    """As many bytes from memory to memory, `count` crops of them, as a ring would take them."""
    size, pairs = _copies(window, count, side=CROP)

    def copy() -> None:
        for images, out in pairs:
            out[:] = images

    return harness.timed(copy, CLOCK) * window.size / size


def _by_cropping(window: Window, count: int) -> float:
    """The same crops of images that are in memory, in order: what no reader can avoid."""
    size, pairs = _copies(window, count, side=SIZE)
    corners = np.random.default_rng(0).integers(0, SIZE - CROP, (size, 2)).tolist()

    def crop() -> None:
        for images, out in pairs:
            for slot, (row, column) in enumerate(corners):
                out[slot] = images[slot, row : row + CROP, column : column + CROP]

    return harness.timed(crop, CLOCK) * window.size / size


def _copies(
    window: Window, count: int, *, side: int
) -> tuple[int, list[tuple[np.ndarray, np.ndarray]]]:
    """The images of a batch, and for each batch its images of `side` pixels and the buffer of a
    ring. None is larger than `count`, of which the images are taken in turn."""
    size = min(window.size, count)
    source = np.ones((count, side, side, 3), dtype=np.uint8)
    ring = [np.ones((size, CROP, CROP, 3), dtype=np.uint8) for _ in range(4)]
    starts = cycle(range(0, count - size + 1, size))
    batches = [source[start : start + size] for start in islice(starts, window.batches)]
    return size, list(zip(batches, cycle(ring)))


def _on_one_core(measure: Callable[[], float]) -> float:
    """The result of `measure`, with this process and its new threads pinned to one core.

    Not on macOS, where a process cannot choose its cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        return measure()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        return measure()
    finally:
        os.sched_setaffinity(0, before)
