"""A custom data set: a function that returns an `ImageSet`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transferlab.data.datasets.images import (
    OPTIONS,
    DataSet,
    Description,
    ImageSet,
    check_classes,
    class_counts,
    is_multi_label,
)
from transferlab.runtime import plugins


@dataclass(frozen=True)
class Custom(DataSet):
    """The image set that `build` returns; `name` is `package.module:function`.

    To plan, `build` is called for images of one pixel.
    """

    uses = frozenset(OPTIONS) - {"decode"}

    name: str
    build: Callable[..., ImageSet]

    def describe(self) -> Description:
        images = self._images()
        return Description(images.classes, images.digest, is_multi_label(images.train.labels))

    def train_counts(self) -> tuple[int, ...]:
        images = self._images()
        return class_counts(images.train.labels, images.classes)

    def load(self, *, size: int, resize: str, decode: str, cache: Path) -> ImageSet:
        return self._images(size, resize)

    def _images(self, size: int = 1, resize: str = "warp") -> ImageSet:
        images = self.build(
            root=self.root, val=self.val, holdout=self.holdout, size=size, resize=resize
        )
        plugins.require(ImageSet, images, "data.name", self.name)
        check_classes(images.classes, f"data.name={self.name}")
        return images
