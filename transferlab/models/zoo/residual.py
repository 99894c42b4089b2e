"""Residual units, the plain unit without a shortcut, and the classifier of the residual families.

Shapes: B batch, C channels, H pixels a side of a map. A unit of stride s takes (B, C, H, H) and
gives (B, C', ceil(H / s), ceil(H / s)).
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from transferlab.models.initial import by_kind, he, torch7
from transferlab.models.stages import Group, Stage, StagedNetwork

Layers = Mapping[str, nn.Module]
Option = Literal["A", "B", "C"]

# He et al. 2015, arXiv:1512.03385, Sec. 3.4 says "as in [13]", He initialisation. Fan-out, and
# Torch's values with zero biases for the last layer, are those of the authors' later code,
# KaimingHe/resnet-1k-layers, resnet-pre-act.lua; fb.resnet.torch, Wide ResNet and DenseNet agree
INITIAL = by_kind({nn.Conv2d: he("out"), nn.Linear: torch7()})


class Residual(nn.Module):
    """relu(branch(x) + shortcut(x)); without a shortcut relu(branch(x)), the plain unit.

    Both have the same parameters under the same names, so that they can start from the same values.
    Source: He et al. 2015, arXiv:1512.03385, Eqs. 1 and 2, Fig. 3.
    """

    def __init__(self, branch: Layers, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.branch = nn.Sequential(OrderedDict(branch))
        self.shortcut = shortcut
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        return self.relu(y if self.shortcut is None else y + self.shortcut(x))


class PreActivation(nn.Module):
    """branch(a) + x, or branch(a) + projection(a) where the channels change; a = relu(bn(x)).

    Source: He et al. 2016, arXiv:1603.05027, Fig. 4e; KaimingHe/resnet-1k-layers,
    resnet-pre-act.lua, whose units that change the shape have one BN-ReLU before both paths.
    """

    def __init__(self, channels: int, out_channels: int, stride: int, branch: Layers) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.branch = nn.Sequential(OrderedDict(branch))
        self.projection: nn.Module | None = None
        if channels != out_channels:
            self.projection = convolution(channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu(self.bn(x))
        y = self.branch(activated)
        return y + (x if self.projection is None else self.projection(activated))


def pre_activated(
    unit: Callable[[int, int, int], PreActivation],
    widths: Sequence[int],
    *,
    count: int,
    num_outputs: int,
) -> StagedNetwork:
    """conv1, a stage of `count` units for each width, fc; for images of 32 pixels.

    `unit(channels, out_channels, stride)` is a unit. The BN-ReLU after the last belongs to it.
    """
    channels = 16
    conv1 = convolution(3, channels, 3)
    stages: dict[str, Stage | Group] = {"conv1": Stage({"conv": conv1}, INITIAL)}
    for number, width in enumerate(widths, start=1):
        units = {}
        for index in range(1, count + 1):
            layers: dict[str, nn.Module] = {
                "block": unit(channels, width, 2 if index == 1 and number > 1 else 1)
            }
            if index == count and number == len(widths):
                layers |= {"bn": nn.BatchNorm2d(width), "relu": nn.ReLU(inplace=True)}
            units[str(index)] = Stage(layers, INITIAL)
            channels = width
        stages[f"stage{number}"] = Group(units)
    return StagedNetwork({**stages, "fc": classifier(channels, num_outputs)})


def basic(width: int, first: nn.Module) -> dict[str, nn.Module]:
    """Two 3x3 convolutions: `first`, which gives `width` channels, and one that keeps the shape.

    Source: He et al. 2015, Fig. 5, left.
    """
    return {
        "conv1": first,
        "bn1": nn.BatchNorm2d(width),
        "relu1": nn.ReLU(inplace=True),
        "conv2": convolution(width, width, 3),
        "bn2": nn.BatchNorm2d(width),
    }


def bottleneck(channels: int, width: int, stride: int) -> dict[str, nn.Module]:
    """Convolutions of 1x1, 3x3 and 1x1 to 1, 1 and 4 times `width` channels, the stride first.

    Source: He et al. 2015, Fig. 5, right; the stride KaimingHe/deep-residual-networks,
    prototxt/ResNet-50-deploy.prototxt, res3a_branch2a.
    """
    return {
        "conv1": convolution(channels, width, 1, stride),
        "bn1": nn.BatchNorm2d(width),
        "relu1": nn.ReLU(inplace=True),
        "conv2": convolution(width, width, 3),
        "bn2": nn.BatchNorm2d(width),
        "relu2": nn.ReLU(inplace=True),
        "conv3": convolution(width, 4 * width, 1),
        "bn3": nn.BatchNorm2d(4 * width),
    }


def shortcut(option: Option, channels: int, out_channels: int, stride: int) -> nn.Module:
    """The shortcut of a unit, with option A and B the identity where the shape stays.

    A: every `stride`-th pixel, zeros in the new channels; B and C: a 1x1 convolution with BN.
    Source: He et al. 2015, Sec. 3.3 and 4.1.
    """
    if option != "C" and stride == 1 and channels == out_channels:
        return nn.Identity()
    if option == "A":
        added = (0, 0, 0, 0, 0, out_channels - channels)  # none around the map
        layers = {"subsample": nn.AvgPool2d(1, stride), "zeropad": nn.ZeroPad3d(added)}
    else:
        layers = {
            "conv": convolution(channels, out_channels, 1, stride),
            "bn": nn.BatchNorm2d(out_channels),
        }
    return nn.Sequential(OrderedDict(layers))


def convolution(channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A padded convolution without bias, next to batch norm."""
    padding = kernel // 2
    return nn.Conv2d(channels, out_channels, kernel, stride, padding=padding, bias=False)


def classifier(channels: int, num_outputs: int) -> Stage:
    """The last stage, from maps (B, C, H, H) to logits (B, K): the mean of each map, and linear."""
    return Stage(
        {
            "pool": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
            "fc": nn.Linear(channels, num_outputs),
        },
        INITIAL,
    )
