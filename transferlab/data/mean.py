"""The mean image of a half's training images, computed once and kept by digest.

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
    the images does not matter.

    Raises: UserError if an image cannot be read, or none.
    """
    path = cache / "means" / f"{name}.npy"
    known = _cached(path)
    if known is not None and (
        not known.skipped or (view.skip_unreadable and not changed(known.skipped))
    ):
        return known
    total: np.ndarray | None = None
    skipped: dict[str, str] = {}
    count = 0
    batches = loader(
        view,
        Sequence(len(view), BATCH),
        crop=view.subset.size,
        workers=workers,
        device=torch.device("cpu"),
    )
    with batches:
        for batch in batches:
            pixels = batch["pixels"].numpy()
            part = pixels.sum(axis=0, dtype=np.int64)
            total = part if total is None else total + part
            count += len(pixels)
            skipped |= batch["skipped"]
            on_progress(count)
    if total is None or not count:
        raise UserError(f"none of the {len(view)} images can be read: is data.root the right one?")
    image = (total / count).astype(np.float32)
    _keep(path, image, skipped)
    return Mean(image, skipped)


def _cached(path: Path) -> Mean | None:
    """The image, as an .npy, and after it the JSON of the files that are not part of it.

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
        image = np.lib.format.read_array(file, allow_pickle=False)
        if image.dtype == np.float32 and image.ndim == 3 and image.shape[2] == 3:
            return Mean(image, dict(json.loads(file.read())))
        reason = f"it holds {image.dtype} of shape {image.shape}"
    except Exception as error:  # numpy raises anything for a damaged file
        reason = f"{type(error).__name__}: {error}"
    log.warning("%s is damaged (%s): computed again", path, reason)
    return None


def _keep(path: Path, image: np.ndarray, skipped: Mapping[str, str]) -> None:
    """Cache the mean. If the cache cannot be written, only a warning is logged."""

    def write(file: IO[bytes]) -> None:
        np.save(file, image, allow_pickle=False)
        file.write(json.dumps(skipped).encode())

    try:
        folders.make(path.parent)
        files.replace(path, write)
    except OSError as error:
        log.warning("%s cannot be written (%s): the mean will be computed again", path, error)
