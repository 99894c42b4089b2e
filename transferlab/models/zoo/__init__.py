"""Architectures, one file a family. This file lists them, without torch.

To add one: a file here with `build(*, num_outputs, image_size, **options) -> StagedNetwork`, a line
in `NETWORKS`, its totals in published.csv, and conf/model/NAME.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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


def _vgg(configuration: str, **options: Any) -> Architecture:
    options = {"configuration": configuration, **options}
    return Architecture("vgg", (32, 256), "vgg", size=256, crop=224, options=options)


UNIT = 1 / 64  # the scale with which photographs have about unit variance
SIGNED = 2 / 255  # of -1 to 1; tensorflow/models, slim/preprocessing/inception_preprocessing.py


def _large(family: str, recipe: str, builder: str = "build", **options: Any) -> Architecture:
    """A convolutional network for ImageNet with global pooling."""
    function = f"{HERE}.{family}:{builder}"
    return Architecture(family, (32, 640), recipe, 256, 224, UNIT, function, options)


def _cifar(family: str, recipe: str, **options: Any) -> Architecture:
    """A convolutional network for images of 32 pixels with global pooling."""
    return Architecture(family, (16, 96), recipe, 32, 32, UNIT, options=options)


def _small(family: str, function: str = "small", **options: Any) -> Architecture:
    """A small network of a family."""
    builder = f"{HERE}.{family}:{function}"
    return Architecture(family, (16, 96), "small32", 32, 32, UNIT, builder, options)


def _eighth(configuration: str, **options: Any) -> Architecture:
    """A VGG with an eighth of the maps: its five poolings leave something of 32 pixels."""
    small = _small("vgg", "eighth", configuration=configuration, **options)
    return replace(small, images=(32, 96))


def _bn_inception(recipe: str, **options: Any) -> Architecture:
    return Architecture("bn_inception", (32, 512), recipe, 256, 224, UNIT, options=options)


def _inception(family: str, recipe: str) -> Architecture:
    """A network for images of 299 pixels, from -1 to 1."""
    return Architecture(family, (75, 512), recipe, size=342, crop=299, scale=SIGNED)


NETWORKS: dict[str, Architecture] = {
    # Caffe's reference network
    "alexnet": Architecture("alexnet", (227, 227), "yosinski2014", size=256, crop=227),
    "alexnet_small": Architecture(
        "alexnet_small", (16, 96), "small32", size=32, crop=32, scale=UNIT
    ),
    # From AlexNet to VGG and Network in Network
    "alexnet2012": _imagenet("alexnet2012", "krizhevsky2012", crop=227),
    "zfnet": _imagenet("zfnet", "zfnet", crop=224, maps=(384, 384, 256)),
    "zfnet_wide": _imagenet("zfnet", "zfnet", crop=224, maps=(512, 1024, 512)),
    "zfnet_small": _small("zfnet", maps=(48, 48, 32)),
    "zfnet_wide_small": _small("zfnet", maps=(64, 128, 64)),
    "overfeat_fast": _imagenet("overfeat", "overfeat", crop=231, function="fast"),
    "overfeat_accurate": _imagenet("overfeat", "overfeat", crop=221, function="accurate"),
    "cnn_f": _imagenet("chatfield", "chatfield", crop=224, function="fast"),
    "cnn_m": _imagenet("chatfield", "chatfield", crop=224, function="medium", fc7=4096),
    "cnn_m_2048": _imagenet("chatfield", "chatfield", crop=224, function="medium", fc7=2048),
    "cnn_m_1024": _imagenet("chatfield", "chatfield", crop=224, function="medium", fc7=1024),
    "cnn_m_128": _imagenet("chatfield", "chatfield", crop=224, function="medium", fc7=128),
    "cnn_s": _imagenet("chatfield", "chatfield", crop=224, function="slow"),
    "cnn_f_small": _small("chatfield", kind="F", fc7=512),
    "cnn_m_small": _small("chatfield", kind="M", fc7=512),
    "cnn_m_2048_small": _small("chatfield", kind="M", fc7=256),
    "cnn_m_1024_small": _small("chatfield", kind="M", fc7=128),
    "cnn_m_128_small": _small("chatfield", kind="M", fc7=16),
    "cnn_s_small": _small("chatfield", kind="S", fc7=512),
    "vgg_a": _vgg("A"),
    "vgg_a_lrn": _vgg("A-LRN"),
    "vgg_b": _vgg("B"),
    "vgg_c": _vgg("C"),
    "vgg_d": _vgg("D"),
    "vgg_e": _vgg("E"),
    "vgg_b_5x5": _vgg("B", pairs=False),
    "vgg_a_small": _eighth("A"),
    "vgg_a_lrn_small": _eighth("A-LRN"),
    "vgg_b_small": _eighth("B"),
    "vgg_c_small": _eighth("C"),
    "vgg_d_small": _eighth("D"),
    "vgg_e_small": _eighth("E"),
    "vgg_b_5x5_small": _eighth("B", pairs=False),
    "vgg_small": _small("vgg"),
    "nin": Architecture("nin", (39, 256), "nin", size=256, crop=224),
    "nin_cifar": Architecture("nin", (16, 96), "nin_cifar", 32, 32, UNIT, f"{HERE}.nin:cifar"),
    "nin_small": _small("nin"),
    # Residual networks: He et al. 2015, arXiv:1512.03385, and 2016; wide, and of stochastic depth
    "resnet18": _large("resnet", "resnet", "from_torchvision", depth=18),
    "resnet34": _large("resnet", "resnet", "from_torchvision", depth=34),
    "resnet18_a": _large("resnet", "resnet", depth=18, option="A"),
    "resnet34_a": _large("resnet", "resnet", depth=34, option="A"),
    "resnet34_c": _large("resnet", "resnet", depth=34, option="C"),
    "resnet50": _large("resnet", "resnet", depth=50, option="B"),
    "resnet101": _large("resnet", "resnet", depth=101, option="B"),
    "resnet152": _large("resnet", "resnet", depth=152, option="B"),
    "resnet50_v1.5": _large("resnet", "resnet", "from_torchvision", depth=50),
    "resnet101_v1.5": _large("resnet", "resnet", "from_torchvision", depth=101),
    "resnet152_v1.5": _large("resnet", "resnet", "from_torchvision", depth=152),
    "plain18": _large("resnet", "resnet", depth=18, option=None),
    "plain34": _large("resnet", "resnet", depth=34, option=None),
    "cifar_resnet20": _cifar("cifar_resnet", "resnet_cifar", depth=20, residual=True),
    "cifar_resnet32": _cifar("cifar_resnet", "resnet_cifar", depth=32, residual=True),
    "cifar_resnet44": _cifar("cifar_resnet", "resnet_cifar", depth=44, residual=True),
    "cifar_resnet56": _cifar("cifar_resnet", "resnet_cifar", depth=56, residual=True),
    "cifar_resnet110": _cifar("cifar_resnet", "resnet110_cifar", depth=110, residual=True),
    "cifar_plain20": _cifar("cifar_resnet", "resnet_cifar", depth=20, residual=False),
    "cifar_plain32": _cifar("cifar_resnet", "resnet_cifar", depth=32, residual=False),
    "cifar_plain44": _cifar("cifar_resnet", "resnet_cifar", depth=44, residual=False),
    "cifar_plain56": _cifar("cifar_resnet", "resnet_cifar", depth=56, residual=False),
    "cifar_plain110": _cifar("cifar_resnet", "resnet110_cifar", depth=110, residual=False),
    "cifar_resnet110_stochastic": _cifar(
        "cifar_resnet", "stochastic_depth", depth=110, residual=True, survival=0.5
    ),
    "resnet_small": _cifar("cifar_resnet", "small32", depth=14, residual=True),
    "resnet_small_stochastic": _cifar(
        "cifar_resnet", "small32", depth=14, residual=True, survival=0.5
    ),
    "plain_small": _cifar("cifar_resnet", "small32", depth=14, residual=False),
    "preact_resnet164": _cifar("preact_resnet", "preact", depth=164),
    "preact_small": _cifar("preact_resnet", "small32", depth=20),
    "wrn_16_8": _cifar("wide_resnet", "wide_resnet", depth=16, widening=8),
    "wrn_28_10": _cifar("wide_resnet", "wide_resnet", depth=28, widening=10),
    "wrn_40_4": _cifar("wide_resnet", "wide_resnet", depth=40, widening=4),
    "wrn_28_10_dropout": _cifar("wide_resnet", "wide_resnet", depth=28, widening=10, dropout=0.3),
    "wrn_small": _cifar("wide_resnet", "small32", depth=10, widening=2),
    # DenseNets: Huang et al. 2016, arXiv:1608.06993
    "densenet121": _large("densenet", "densenet", layers=(6, 12, 24, 16), growth=32),
    "densenet161": _large("densenet", "densenet", layers=(6, 12, 36, 24), growth=48),
    "densenet169": _large("densenet", "densenet", layers=(6, 12, 32, 32), growth=32),
    "densenet201": _large("densenet", "densenet", layers=(6, 12, 48, 32), growth=32),
    "densenet264": _large("densenet", "densenet", layers=(6, 12, 64, 48), growth=32),
    "cifar_densenet40": _cifar("cifar_densenet", "densenet_cifar", depth=40, growth=12, bc=False),
    "cifar_densenet100": _cifar("cifar_densenet", "densenet_cifar", depth=100, growth=12, bc=False),
    "cifar_densenet100_k24": _cifar(
        "cifar_densenet", "densenet_cifar", depth=100, growth=24, bc=False
    ),
    "cifar_densenet_bc100": _cifar(
        "cifar_densenet", "densenet_cifar", depth=100, growth=12, bc=True
    ),
    "cifar_densenet_bc250_k24": _cifar(
        "cifar_densenet", "densenet_cifar", depth=250, growth=24, bc=True
    ),
    "cifar_densenet_bc190_k40": _cifar(
        "cifar_densenet", "densenet_cifar", depth=190, growth=40, bc=True
    ),
    "cifar_densenet40_dropout": _cifar(
        "cifar_densenet", "densenet_cifar", depth=40, growth=12, bc=False, dropout=0.2
    ),
    "densenet_small": _cifar("cifar_densenet", "small32", depth=22, growth=12, bc=True),
    # GoogLeNet and its successors
    "googlenet": Architecture("googlenet", (32, 512), "googlenet", size=256, crop=224),
    "googlenet_small": _small("googlenet"),
    "inception_no_bn": _bn_inception("inception_no_bn", normalised=False, regularised=True),
    "bn_inception_baseline": _bn_inception("bn_baseline", regularised=True),
    "bn_inception": _bn_inception("bn_x5"),
    "bn_inception_sigmoid": _bn_inception("bn_x5_sigmoid", activation="sigmoid"),
    "bn_inception_figure5": _bn_inception("bn_x5", projection=128),
    "bn_inception_separable": _bn_inception("bn_x5", separable=True),
    "bn_inception_small": _small("bn_inception"),
    "inception_no_bn_small": _small("bn_inception", normalised=False, regularised=True),
    "bn_inception_baseline_small": _small("bn_inception", regularised=True),
    "bn_inception_sigmoid_small": _small("bn_inception", activation="sigmoid"),
    "inception_v3": _inception("inception_v3", "inception_v3"),
    "inception_v4": _inception("inception_v4", "inception_v4"),
    "inception_resnet_v2": _inception("inception_resnet_v2", "inception_v4"),
    "inception_resnet_v2_paper": _inception("inception_resnet_v2_paper", "inception_v4"),
}
