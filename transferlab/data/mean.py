"""The mean image of a half's training images, and their colours, computed once and kept by digest.

Source: yosinski/convnet_transfer: a per-pixel mean image is subtracted, the one of the base half.
"""

import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from transferlab.data.half import View
from transferlab.data.loader import Sequence, loader
from transferlab.errors import UserError
from transferlab.runtime import files, folders, reading

log = logging.getLogger(__name__)
BATCH = 256
LIMIT = 100 * reading.MEGABYTE  # of a cached mean: pixels, and names of files left out
PIXELS = 3  # of the rules that make pixels of files: decoding and resizing. Raised with a change


@dataclass(frozen=True)
class Mean:
    """What is subtracted: an image (S, S, 3) float32, or one colour (3,), or None; and the files
    that are not part of it because they could not be read, as name in the data set -> sha256."""

    image: np.ndarray | None
    skipped: dict[str, str]


def key(data_digest: str, classes: tuple[str, ...], **settings: object) -> str:
    """The name of a mean image: a digest of what it is the mean of, 32 hexadecimal digits."""
    parts = [
        str(PIXELS),
        data_digest,
        *classes,
        *(f"{k}={settings[k]!r}" for k in sorted(settings)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def mean_image(
    view: View,
    *,
    cache: Path,
    name: str,
    workers: int,
    changed: Callable[[Mapping[str, str]], tuple[str, ...]],
    on_progress: Callable[[int], None],
) -> Mean:
    """The mean of all images of the view, from the cache if it has it.

    Unreadable images are left out if the view allows it. A cached mean that lacks some counts only
    if it does, and `changed` (see `DataSet.changed`) finds none of them repaired.
    `on_progress` is called with the number of images read so far. Sums are exact, so the order of
    the images does not matter. Of images of different shapes it is that of their central squares.

    Raises: UserError if an image cannot be read, or none.
    """

    def add(pixels: np.ndarray) -> np.ndarray:
        return pixels.sum(axis=0, dtype=np.int64)

    def image(total: np.ndarray, count: int) -> np.ndarray:
        return (total / count).astype(np.float32)

    passed = Pass(view, cache / "means" / f"{name}.npy", workers, changed, on_progress)
    return passed.computed(add, image, dimensions=3)


def colour_components(
    view: View,
    *,
    cache: Path,
    name: str,
    workers: int,
    changed: Callable[[Mapping[str, str]], tuple[str, ...]],
    on_progress: Callable[[int], None],
) -> np.ndarray:
    """The principal components of the colours of all pixels, from the cache as in `mean_image`.

    (3, 3) float32, the first component in the first row: an eigenvector of the covariance of red,
    green and blue in grey levels, times the standard deviation along it.

    Source: Krizhevsky et al. 2012, Sec. 4.1. Differs: there it is times the variance, whose effect
    is another one for another unit of the pixels. Their program takes the standard deviation:
    cuda-convnet2, convdata.py, `color_stdevs`.
    """

    def add(pixels: np.ndarray) -> np.ndarray:
        total = np.zeros((4, 3), dtype=np.int64)
        for image in pixels:
            colours = image.reshape(-1, 3).astype(np.float64)  # sums of an image are exact in it
            total[:3] += (colours.T @ colours).astype(np.int64)
            total[3] += colours.sum(axis=0).astype(np.int64)
        return total

    def components(total: np.ndarray, count: int) -> np.ndarray:
        pixels = count * view.subset.size**2
        products, sums = total[:3].astype(object), total[3].astype(object)  # exact, without limit
        covariance = (products * pixels - np.outer(sums, sums)) / pixels**2
        variances, vectors = np.linalg.eigh(covariance.astype(np.float64))
        rows = (vectors * np.sqrt(variances.clip(0))).T[::-1]
        largest = np.abs(rows).argmax(axis=1)[:, None]
        return (rows * np.sign(np.take_along_axis(rows, largest, axis=1))).astype(np.float32)

    passed = Pass(view, cache / "means" / f"{name}.npy", workers, changed, on_progress)
    image = passed.computed(add, components, dimensions=2).image
    assert image is not None
    return image


@dataclass(frozen=True)
class Pass:
    """One pass over the images of a view, whose result is kept in the file `path`."""

    view: View
    path: Path
    workers: int
    changed: Callable[[Mapping[str, str]], tuple[str, ...]]
    on_progress: Callable[[int], None]

    def computed(
        self,
        add: Callable[[np.ndarray], np.ndarray],
        finish: Callable[[np.ndarray, int], np.ndarray],
        *,
        dimensions: int,
    ) -> Mean:
        """`finish` of the sum of `add` over all batches (B, S, S, 3), and the number of images."""
        known = _cached(self.path, dimensions)
        if known is not None and (
            not known.skipped or (self.view.skip_unreadable and not self.changed(known.skipped))
        ):
            return known
        total: np.ndarray | None = None
        skipped: dict[str, str] = {}
        count = 0
        batches = loader(
            self.view,
            Sequence(len(self.view), BATCH),
            crop=self.view.subset.size,
            workers=self.workers,
            device=torch.device("cpu"),
        )
        with batches:
            for batch in batches:
                pixels = batch["pixels"].numpy()
                part = add(pixels)
                total = part if total is None else total + part
                count += len(pixels)
                skipped |= batch["skipped"]
                self.on_progress(count)
        if total is None or not count:
            images = len(self.view)
            raise UserError(f"none of the {images} images can be read: is data.root the right one?")
        values = finish(total, count)
        _keep(self.path, values, skipped)
        return Mean(values, skipped)


def _cached(path: Path, dimensions: int) -> Mean | None:
    """The values, as an .npy, and after it the JSON of the files that are not part of it.

    Of this user only: in a cache that others can write, a mean of theirs would decide numbers, and
    nothing in it says what it is the mean of.
    """
    try:
        content = reading.read(path, limit=LIMIT)
    except UserError as error:
        log.warning("%s: computed again", error)
        return None
    if content is None:
        return None
    if content.owner != os.geteuid():
        log.info("%s belongs to %s: computed again", path, folders.user(content.owner))
        return None
    file = io.BytesIO(content.data)
    try:
        values = np.lib.format.read_array(file, allow_pickle=False)
        if values.dtype == np.float32 and values.ndim == dimensions and values.shape[-1] == 3:
            return Mean(values, dict(json.loads(file.read())))
        reason = f"it holds {values.dtype} of shape {values.shape}"
    except Exception as error:  # numpy raises anything for a damaged file
        reason = f"{type(error).__name__}: {error}"
    log.warning("%s is damaged (%s): computed again", path, reason)
    return None


def _keep(path: Path, values: np.ndarray, skipped: Mapping[str, str]) -> None:
    """Cache the mean. If the cache cannot be written, only a warning is logged."""

    def write(file: IO[bytes]) -> None:
        np.save(file, values, allow_pickle=False)
        file.write(json.dumps(skipped).encode())

    try:
        folders.make(path.parent)
        files.replace(path, write)
    except OSError as error:
        log.warning("%s cannot be written (%s): the mean will be computed again", path, error)
