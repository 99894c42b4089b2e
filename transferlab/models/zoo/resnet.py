"""Residual networks for ImageNet, of 18 to 152 layers, and the plain networks of 18 and 34.

Source: He et al. 2015, arXiv:1512.03385, Table 1 and Sec. 3.3, for every number. Those of 50 and
more layers have the stride of a bottleneck in its first convolution, as the authors' Caffe models
have; `_v1.5` are torchvision's, which have it in the 3x3 convolution. torchvision's of 18 and 34
layers are the paper's with shortcuts of option B.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P); sizes below at P = 224.
"""

from collections.abc import Iterable

import torchvision
from torch import nn

from transferlab.models.stages import Group, Stage, StagedNetwork
from transferlab.models.zoo.residual import (
    INITIAL,
    Option,
    Residual,
    basic,
    bottleneck,
    classifier,
    convolution,
    shortcut,
)

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
WIDTHS = (64, 128, 256, 512)  # of the 3x3 convolutions in conv2_x to conv5_x
BOTTLENECK = 50  # layers from which on blocks are bottlenecks
EXPANSION = 4  # of a bottleneck's width to its outputs


def build(*, num_outputs: int, image_size: int, depth: int, option: Option | None) -> StagedNetwork:
    """The network of `depth` layers with shortcuts of `option`; None is the plain network."""
    expansion = EXPANSION if depth >= BOTTLENECK else 1
    channels = WIDTHS[0]
    blocks: list[list[nn.Module]] = []
    for width, count in zip(WIDTHS, BLOCKS[depth], strict=True):
        blocks.append([])
        for index in range(count):
            stride = 2 if index == 0 and width > WIDTHS[0] else 1
            out_channels = expansion * width
            if expansion > 1:
                branch = bottleneck(channels, width, stride)
            else:
                branch = basic(width, convolution(channels, width, 3, stride))
            path = shortcut(option, channels, out_channels, stride) if option else None
            blocks[-1].append(Residual(branch, path))
            channels = out_channels
    stem = {
        "conv": convolution(3, WIDTHS[0], 7, 2),  # (B, 64, 112, 112)
        "bn": nn.BatchNorm2d(WIDTHS[0]),
        "relu": nn.ReLU(inplace=True),
        "pool": nn.MaxPool2d(3, stride=2, padding=1),  # (B, 64, 56, 56)
    }
    return _staged(stem, blocks, classifier(channels, num_outputs))


def from_torchvision(*, num_outputs: int, image_size: int, depth: int) -> StagedNetwork:
    """torchvision's network of `depth` layers in the same stages."""
    network = getattr(torchvision.models, f"resnet{depth}")(num_classes=num_outputs)
    stem = {
        "conv": network.conv1,
        "bn": network.bn1,
        "relu": network.relu,
        "pool": network.maxpool,
    }
    blocks = (network.layer1, network.layer2, network.layer3, network.layer4)
    head = {"pool": network.avgpool, "flatten": nn.Flatten(), "fc": network.fc}
    return _staged(stem, blocks, Stage(head, INITIAL))


def _staged(
    stem: dict[str, nn.Module], blocks: Iterable[Iterable[nn.Module]], head: Stage
) -> StagedNetwork:
    """conv1, conv2_x to conv5_x with a stage for each block, such as conv2_1, and fc."""
    groups = {
        f"conv{number}_x": Group(
            {
                f"conv{number}_{index}": Stage({"block": block}, INITIAL)
                for index, block in enumerate(each, start=1)
            }
        )
        for number, each in enumerate(blocks, start=2)  # sides 56, 28, 14, 7
    }
    return StagedNetwork({"conv1": Stage(stem, INITIAL), **groups, "fc": head})
