"""The pre-activation residual network of 164 layers for images of 32 pixels.

Bottlenecks with BN-ReLU before every convolution, and after the last one. Source: He et al. 2016,
arXiv:1603.05027, Fig. 4e and Table 3; KaimingHe/resnet-1k-layers, resnet-pre-act.lua, for every
number.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P); sizes at P = 32.
"""

from torch import nn

from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo.residual import PreActivation, convolution, pre_activated

WIDTHS = (16, 32, 64)  # of the 3x3 convolutions; a bottleneck has four times as many outputs


def build(*, num_outputs: int, image_size: int, depth: int) -> StagedNetwork:
    """The network of `depth` = 9n + 2 layers: conv1, three stages of n units, fc."""

    def unit(channels: int, out_channels: int, stride: int) -> PreActivation:
        width = out_channels // 4
        branch = {
            "conv1": convolution(channels, width, 1, stride),
            "bn2": nn.BatchNorm2d(width),
            "relu2": nn.ReLU(inplace=True),
            "conv2": convolution(width, width, 3),
            "bn3": nn.BatchNorm2d(width),
            "relu3": nn.ReLU(inplace=True),
            "conv3": convolution(width, out_channels, 1),
        }
        return PreActivation(channels, out_channels, stride, branch)

    widths = [4 * width for width in WIDTHS]
    return pre_activated(unit, widths, count=(depth - 2) // 9, num_outputs=num_outputs)
