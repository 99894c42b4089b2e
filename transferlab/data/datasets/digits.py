"""The 1,797 handwritten digits that come with scikit-learn: real images, no download.

Source: UCI, Optical Recognition of Handwritten Digits (Alpaydin, Kaynak 1998), its test part.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from transferlab.data.datasets.decode import resize_all
from transferlab.data.datasets.images import (
    ArraySubset,
    DataSet,
    Description,
    ImageSet,
    class_counts,
    hold_out,
)
from transferlab.errors import UserError
from transferlab.runtime import commands

CLASSES = tuple("0123456789")
CLASS_SIZES = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
CONTENT = "0b7e9c3202d7bcd255d6a19a238d3743bf5e320ba74812a6679958a017c55382"  # pixels, labels


class Digits(DataSet):
    """`data=digits`."""

    uses = frozenset({"holdout"})

    def describe(self) -> Description:
        return Description(CLASSES, digest(self.holdout))

    def train_counts(self) -> tuple[int, ...]:
        """Known without loading the images: how many are held out follows from their classes."""
        labels = np.repeat(np.arange(len(CLASSES)), CLASS_SIZES)
        return class_counts(labels[~_held(labels, self.holdout)], CLASSES)

    def load(self, *, size: int, resize: str, decode: str, cache: Path) -> ImageSet:
        return load(holdout=self.holdout, size=size)


def digest(holdout: float | None) -> str:
    """Known without loading the images; `load` checks that they are those."""
    return hashlib.sha256(f"{CONTENT} {_part(holdout)!r}".encode()).hexdigest()


def load(*, holdout: float | None, size: int) -> ImageSet:
    """The digits enlarged from 8 to `size` pixels, with a fixed, stratified validation subset.

    Raises: UserError without `holdout`, since the digits come as one set.
    """
    rows = np.loadtxt(_file(), delimiter=",", dtype=np.int64)  # (N, 65): pixels, label
    pixels = np.rint(rows[:, :64].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # 17 grey levels
    labels = rows[:, 64].copy()
    content = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    if content != CONTENT:
        raise UserError(f"scikit-learn's digits are not the expected ones: {content[:12]}...")
    pictures = np.repeat(pixels[..., None], 3, axis=3)
    rgb, held = resize_all(pictures, size=size), _held(labels, holdout)
    train, val = (
        ArraySubset(rgb[mask], labels[mask], "digits", pictures=pictures[mask])
        for mask in (~held, held)
    )
    return ImageSet(CLASSES, digest(holdout), train, val)


def _file() -> Path:
    """That `sklearn.datasets.load_digits` reads, which imports scipy and pandas: 1.3 s."""
    spec = find_spec("sklearn")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")


def _held(labels: np.ndarray, holdout: float | None) -> np.ndarray:
    """Which images are held out, (N,) bool."""
    return hold_out(labels, _part(holdout), np.arange(len(labels)))


def _part(holdout: float | None) -> float:
    """Raises: UserError without `holdout`, since the digits come as one set."""
    if holdout is None:
        raise UserError(
            "data.holdout is missing: data=digits has no validation subset, set "
            f"{commands.setting('data.holdout', 0.2)}"
        )
    return holdout
