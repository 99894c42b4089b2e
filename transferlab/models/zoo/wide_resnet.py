"""Wide residual networks for images of 32 pixels: WRN-d-k of d layers, k times as wide.

Pre-activation units of two 3x3 convolutions. Source: Zagoruyko, Komodakis 2016, arXiv:1605.07146,
Table 1; szagoruyko/wide-residual-networks, models/wide-resnet.lua, for every number.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P); sizes at P = 32.
"""

from torch import nn

from transferlab.models.dropout import Dropout
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo.residual import PreActivation, convolution, pre_activated

WIDTHS = (16, 32, 64)  # times k


def build(
    *, num_outputs: int, image_size: int, depth: int, widening: int, dropout: float = 0.0
) -> StagedNetwork:
    """The network of `depth` = 6n + 4 layers: conv1, three stages of n units, fc.

    `dropout` is between the convolutions of each unit (Sec. 2.4).
    """

    def unit(channels: int, width: int, stride: int) -> PreActivation:
        branch: dict[str, nn.Module] = {
            "conv1": convolution(channels, width, 3, stride),
            "bn2": nn.BatchNorm2d(width),
            "relu2": nn.ReLU(inplace=True),
        }
        if dropout:
            branch["dropout"] = Dropout(dropout)
        branch["conv2"] = convolution(width, width, 3)
        return PreActivation(channels, width, stride, branch)

    widths = [widening * width for width in WIDTHS]
    return pre_activated(unit, widths, count=(depth - 4) // 6, num_outputs=num_outputs)
