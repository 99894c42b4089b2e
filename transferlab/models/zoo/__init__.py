"""Architectures, one file a family. This file lists them, without torch.

To add one: a file here with `build(*, num_outputs, image_size, **options) -> StagedNetwork`, a line
in `NETWORKS`, and conf/model/NAME.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HERE = "transferlab.models.zoo"


@dataclass(frozen=True)
class Architecture:
    """A network: what builds it, the images that it takes, and how its authors train it.

    `images` are the least and the most pixels a side. `size`, `crop` and `scale` are the values of
    `data.size`, `data.crop` and `data.scale` that fit: grey levels minus their mean (scale 1) for
    initial values as Krizhevsky's, about unit variance (1/64) for those as He's. `recipe` is the
    choice of `train`, `options` are further arguments of the builder.
    """

    family: str
    images: tuple[int, int]
    recipe: str
    size: int
    crop: int
    scale: float = 1.0
    builder: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def function(self) -> str:
        """`package.module:function`."""
        return self.builder or f"{HERE}.{self.family}:build"


UNIT = 1 / 64  # the scale with which photographs have about unit variance
NETWORKS: dict[str, Architecture] = {
    # Caffe's reference network
    "alexnet": Architecture("alexnet", (227, 227), "yosinski2014", size=256, crop=227),
    "alexnet_small": Architecture(
        "alexnet_small", (16, 96), "small32", size=32, crop=32, scale=UNIT
    ),
}
