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


def _imagenet(
    family: str, recipe: str, *, crop: int, function: str = "build", **options: Any
) -> Architecture:
    """A network that takes crops of one size from images of 256 pixels, in grey levels."""
    builder = f"{HERE}.{family}:{function}"
    return Architecture(family, (crop, crop), recipe, 256, crop, builder=builder, options=options)


def _vgg(configuration: str) -> Architecture:
    options = {"configuration": configuration}
    return Architecture("vgg", (32, 256), "vgg", size=256, crop=224, options=options)


UNIT = 1 / 64  # the scale with which photographs have about unit variance
NETWORKS: dict[str, Architecture] = {
    # Caffe's reference network
    "alexnet": Architecture("alexnet", (227, 227), "yosinski2014", size=256, crop=227),
    "alexnet_small": Architecture(
        "alexnet_small", (16, 96), "small32", size=32, crop=32, scale=UNIT
    ),
    # From AlexNet to VGG and Network in Network. ZFNet, OverFeat and CNN-F to S have no small one:
    # alexnet_small has their five convolutions and three fully connected layers.
    "alexnet2012": _imagenet("alexnet2012", "krizhevsky2012", crop=227),
    "zfnet": _imagenet("zfnet", "zfnet", crop=224, maps=(384, 384, 256)),
    "zfnet_wide": _imagenet("zfnet", "zfnet", crop=224, maps=(512, 1024, 512)),
    "overfeat_fast": _imagenet("overfeat", "overfeat", crop=231, function="fast"),
    "overfeat_accurate": _imagenet("overfeat", "overfeat", crop=221, function="accurate"),
    "cnn_f": _imagenet("chatfield", "chatfield", crop=224, function="fast"),
    "cnn_m": _imagenet("chatfield", "chatfield", crop=224, function="medium", fc7=4096),
    "cnn_m_2048": _imagenet("chatfield", "chatfield", crop=224, function="medium", fc7=2048),
    "cnn_m_1024": _imagenet("chatfield", "chatfield", crop=224, function="medium", fc7=1024),
    "cnn_m_128": _imagenet("chatfield", "chatfield", crop=224, function="medium", fc7=128),
    "cnn_s": _imagenet("chatfield", "chatfield", crop=224, function="slow"),
    "vgg_a": _vgg("A"),
    "vgg_a_lrn": _vgg("A-LRN"),
    "vgg_b": _vgg("B"),
    "vgg_c": _vgg("C"),
    "vgg_d": _vgg("D"),
    "vgg_e": _vgg("E"),
    "vgg_small": Architecture("vgg", (16, 96), "small32", 32, 32, UNIT, f"{HERE}.vgg:small"),
    "nin": Architecture("nin", (39, 256), "nin", size=256, crop=224),
    "nin_cifar": Architecture("nin", (16, 96), "nin_cifar", 32, 32, UNIT, f"{HERE}.nin:cifar"),
    "nin_small": Architecture("nin", (16, 96), "small32", 32, 32, UNIT, f"{HERE}.nin:small"),
}
