"""Prepared images that are not in memory, from the disk on which they lie: announced a batch ahead,
as in training, against page faults, which wait for each image by itself.

Before each measurement the system is asked to drop the file from memory, which takes no rights; it
keeps what another process has mapped. Both sides read the same images in the same order.
"""

import mmap
import os
from argparse import ArgumentParser, Namespace

import numpy as np
import torch

from transferlab import data
from transferlab.bench import flags, harness
from transferlab.bench.harness import Check, Comparison, Report, Side
from transferlab.data.datasets.mapped import Mapped
from transferlab.data.datasets.prepared import JpegSubset, Prepared, RawSubset
from transferlab.data.half import View
from transferlab.data.loader import Stream, loader
from transferlab.data.sampling import Augmentation
from transferlab.errors import UserError

REPETITIONS = 3
CROP = 227
ANNOUNCED, FAULTS = "announced", "page faults"
LOOKS = 64  # images that are looked for in memory after they were dropped


class _Unannounced(View):
    def announce(self, indices: np.ndarray) -> None:
        """Does nothing: each image is waited for when it is copied."""


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--root", type=flags.folder, required=True, metavar="DIR",
                        help="the folder --out of prepare, on the disk to be measured")  # fmt: skip
    parser.add_argument("--batch", type=flags.positive, default=256, metavar="N",
                        help="images per batch (default: %(default)s)")  # fmt: skip
    parser.add_argument("--batches", type=flags.positive, default=8, metavar="N",
                        help="batches in a repetition (default: %(default)s)")  # fmt: skip


def measure(selected: Namespace) -> Report:
    """All sides on the training images. Raises: UserError if they are not prepared, or too few."""
    if not hasattr(os, "posix_fadvise"):
        raise UserError("bench reading needs a system that drops files from memory: Linux")
    torch.set_num_threads(1)
    root, size, count = selected.root, selected.batch, selected.batch * selected.batches
    stored = Prepared(str(root), None, None).stored()
    images = data.load("prepared", root=str(root), val=None, holdout=None, size=stored.size,
                       resize=stored.resize, decode=stored.decode, cache=root).train  # fmt: skip
    assert isinstance(images, RawSubset | JpegSubset)
    if count > len(images.labels):
        raise UserError(
            f"--batches {selected.batches} of {size} are more than the {len(images.labels)} "
            f"training images of {root}: an image that is read twice is in memory"
        )
    dropped: list[bool] = []

    def side(name: str, kind: type[View]) -> Side:
        view = kind(images, np.arange(len(images.labels)), images.labels, skip_unreadable=False)

        def read() -> float:
            dropped.extend(_drop(images.mapped))
            return harness.timed(lambda: _read(view, size, selected.batches))

        return Side(name, read, count, "images")

    return harness.measure(
        "reading",
        f"{count} images of {root} in random order, not in memory, batches of {size}",
        [side(ANNOUNCED, View),
         side(FAULTS, _Unannounced)],
        [Comparison(ANNOUNCED, FAULTS, "speed", 1.0)],
        repetitions=selected.repetitions,
        checks=lambda: [Check("the file was dropped from memory", None,
                              f"{dropped.count(True)} of {len(dropped)} places looked at")],
    )  # fmt: skip


def _drop(mapped: Mapped) -> list[bool]:
    """Have the system drop the file from memory; whether places in it have left."""
    file = mapped.file.fileno()
    mapped.map.madvise(mmap.MADV_DONTNEED)  # it keeps what is mapped
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    places = np.linspace(0, len(mapped.bytes) - 1, LOOKS, dtype=np.int64)
    return [not mapped.is_cached(place) for place in places.tolist()]


def _read(view: View, size: int, batches: int) -> None:
    requests = Stream(
        count=len(view),
        seed=0,
        start_step=0,
        total_steps=batches,
        batch_size=size,
        reshuffle=True,
        augmentation=Augmentation(mirror=True, pad=0, scales=None, pca=0.0, one_size=True),
        rank=0,
        world_size=1,
    )
    crop = min(CROP, view.subset.size)
    for _ in loader(view, requests, crop=crop, workers=0, device=torch.device("cpu")):
        pass
