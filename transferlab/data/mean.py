"""The mean image of a half's training images, computed once and kept by digest.

Source: yosinski/convnet_transfer: a per-pixel mean image is subtracted, the one of the base half.
"""

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from transferlab.data.half import View
from transferlab.data.loader import Sequence, loader
from transferlab.errors import UserError
from transferlab.runtime import files

log = logging.getLogger(__name__)
BATCH = 256
PIXELS = 2  # of the rules that make pixels of files: decoding and resizing. Raised with a change


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
    view: View, *, cache: Path, name: str, workers: int, on_progress: Callable[[int], None]
) -> np.ndarray:
    """The mean (S, S, 3) float32 of all images of the view, from the cache if it has it.

    `on_progress` is called with the number of images read so far. Sums are exact, so the order of
    the images does not matter. Unreadable images are left out if the view allows it.

    Raises: UserError if an image cannot be read, or none.
    """
    path = cache / "means" / f"{name}.npy"
    known = _cached(path)
    if known is not None:
        return known
    total: np.ndarray | None = None
    count = 0
    batches = loader(
        view,
        Sequence(len(view), BATCH),
        crop=view.subset.size,
        workers=workers,
        device=torch.device("cpu"),
    )
    for batch in batches:
        pixels = batch["pixels"].numpy()
        part = pixels.sum(axis=0, dtype=np.int64)
        total = part if total is None else total + part
        count += len(pixels)
        on_progress(count)
    if total is None or not count:
        raise UserError(f"none of the {len(view)} images can be read: is data.root the right one?")
    mean = (total / count).astype(np.float32)
    _keep(path, mean)
    return mean


def _cached(path: Path) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            mean = np.lib.format.read_array(file, allow_pickle=False)
        if mean.dtype == np.float32 and mean.ndim == 3 and mean.shape[2] == 3:
            return mean
        reason = f"it holds {mean.dtype} of shape {mean.shape}"
    except Exception as error:  # numpy raises anything for a damaged file
        reason = f"{type(error).__name__}: {error}"
    log.warning("%s is damaged (%s): computed again", path, reason)
    return None


def _keep(path: Path, mean: np.ndarray) -> None:
    """Cache the mean. If the cache cannot be written, only a warning is logged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, partial(np.save, arr=mean, allow_pickle=False))
    except OSError as error:
        log.warning("%s cannot be written (%s): the mean will be computed again", path, error)
