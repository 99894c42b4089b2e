"""A half of the classes as a view on one data set: positions and new labels, no copy of images.

Yosinski et al. 2014, Sec. 3: each half is a classification task of its own, labels 0..K-1. Of a
multi-label data set a half has all images, and the labels of its own classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transferlab.data.crops import Crops
from transferlab.data.datasets.decode import to_grey
from transferlab.data.datasets.images import (
    Announced,
    ImageSet,
    Subset,
    UnreadableImage,
    is_multi_label,
)
from transferlab.errors import UserError
from transferlab.runtime import commands


@dataclass(frozen=True)
class Images:
    """A batch: pixels (B, P, P, 3) uint8, labels (B,) or (B, K), the indices (B,) of the images in
    their view, and the files that could not be read, as name in the data set -> sha256."""

    pixels: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    skipped: dict[str, str]


@dataclass(frozen=True)
class Pictures:
    """Images of any sizes, each (H, W, 3) uint8; otherwise as `Images`."""

    pictures: list[np.ndarray]
    labels: np.ndarray
    skipped: dict[str, str]


@dataclass(frozen=True)
class View:
    """The images of one subset whose class is in the half, or which may show some of its classes.

    positions: (N,) int64. labels: (N,) int64, or (N, K) int8 of 1, -1 and 0. `grey`: in grey, as
    `decode.to_grey` does.
    """

    subset: Subset
    positions: np.ndarray
    labels: np.ndarray
    skip_unreadable: bool
    grey: bool = False

    def __len__(self) -> int:
        return len(self.positions)

    def announce(self, indices: np.ndarray) -> None:
        """Have the disk read the images `indices` (B,) of the view, if they lie on one."""
        if isinstance(self.subset, Announced):
            self.subset.announce(self.positions[indices])

    def read(
        self,
        indices: np.ndarray,
        out: np.ndarray,
        *,
        crops: Crops | None = None,
        replace: bool,
    ) -> Images:
        """The images `indices` (B,) of the view, in 0..N-1, cropped into `out` (B, P, P, 3).

        An unreadable image ends the run with its name or, with `skip_unreadable`, is left out;
        with `replace` the next readable image of the view replaces it, so that a training batch
        stays full, and the same whenever it is read.

        Raises: UserError that names the file.
        """
        unreadable = self.subset.read(self.positions[indices], out, crops)
        indices = indices.copy()
        skipped = {image.name: image.sha256 for image in unreadable.values()}
        for slot, image in sorted(unreadable.items()):
            self._leave_out(int(self.positions[indices[slot]]), image)
            if replace:
                only = slice(slot, slot + 1)
                crop = None if crops is None else crops[only]
                indices[slot], others = self._next_readable(int(indices[slot]), out[only], crop)
                skipped |= others
        if self.grey:
            to_grey(out)
        if unreadable and not replace:
            keep = np.array([slot not in unreadable for slot in range(len(indices))])
            out, indices = out[keep], indices[keep]
        return Images(out, self.labels[indices], indices, skipped)

    def pictures(self, indices: np.ndarray, side: int) -> Pictures:
        """The images `indices` (B,) of the view, in colour, before they are resized to `side`.

        Raises: UserError that names an unreadable file, unless such are left out.
        """
        images, labels, skipped = [], [], {}
        for position, label in zip(
            self.positions[indices].tolist(), self.labels[indices], strict=True
        ):
            picture = self.subset.picture(position, side)
            if isinstance(picture, UnreadableImage):
                self._leave_out(position, picture)
                skipped[picture.name] = picture.sha256
            else:
                images.append(picture)
                labels.append(label)
        return Pictures(images, np.array(labels, dtype=self.labels.dtype), skipped)

    def _leave_out(self, position: int, image: UnreadableImage) -> None:
        """Raises: UserError unless unreadable images are left out."""
        if not self.skip_unreadable:
            raise UserError(
                f"{self.subset.name(position)} cannot be read: {image.reason}; repair or delete "
                f"it, or leave such files out with {commands.setting('data.unreadable', 'skip')}"
            )

    def _next_readable(
        self, index: int, out: np.ndarray, crop: Crops | None
    ) -> tuple[int, dict[str, str]]:
        """The index of the next readable image, which fills `out` (1, P, P, 3), and the files in
        between."""
        skipped: dict[str, str] = {}
        for ahead in range(1, len(self)):
            other = (index + ahead) % len(self)
            unreadable = self.subset.read(self.positions[other : other + 1], out, crop)
            if not unreadable:
                return other, skipped
            skipped |= {image.name: image.sha256 for image in unreadable.values()}
        raise UserError(f"none of the {len(self)} images can be read: is data.root the right one?")


@dataclass(frozen=True)
class Half:
    """One half's two views; `classes` in the order of the labels."""

    classes: tuple[str, ...]
    train: View
    val: View


def cut(
    images: ImageSet,
    classes: Sequence[str],
    *,
    per_class: int | None,
    skip_unreadable: bool,
    grey: bool = False,
) -> Half:
    """The half of a data set with these classes, `classes[k]` as label k.

    `per_class` keeps the first images of each class for training, in the order of the data set's
    list (yosinski/convnet_transfer, its reduced-* networks); validation is never reduced. Images
    with several classes are refused by `experiment.fit`.

    Raises: UserError if no validation image of a multi-label data set shows one of the classes, so
        that no precision is defined.
    """
    new_label = np.full(len(images.classes), -1, dtype=np.int64)
    old = {name: label for label, name in enumerate(images.classes)}
    new_label[[old[name] for name in classes]] = np.arange(len(classes))

    def view(subset: Subset, keep: int | None) -> View:
        if is_multi_label(subset.labels):
            columns = np.ascontiguousarray(subset.labels[:, [old[name] for name in classes]])
            return View(subset, np.arange(len(columns)), columns, skip_unreadable, grey)
        labels = new_label[subset.labels]
        mask = labels >= 0
        if keep is not None:
            mask &= rank_in_class(subset.labels) < keep
        positions = np.flatnonzero(mask)
        return View(subset, positions, labels[positions], skip_unreadable, grey)

    train, val = view(images.train, per_class), view(images.val, None)
    if is_multi_label(val.labels) and not (val.labels > 0).any():
        raise UserError(
            f"none of the {len(val)} validation images shows one of the {len(classes)} classes "
            f"{', '.join(classes[:3])}, ...: average precision is undefined"
        )
    return Half(tuple(classes), train, val)


def rank_in_class(labels: np.ndarray) -> np.ndarray:
    """For each image, the number of earlier images of its class, (N,)."""
    by_class = np.argsort(labels, kind="stable")
    ordered = labels[by_class]
    first = np.searchsorted(ordered, ordered)
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[by_class] = np.arange(len(labels)) - first
    return ranks
