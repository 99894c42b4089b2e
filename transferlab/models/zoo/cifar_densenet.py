"""DenseNets for images of 32 pixels, with and without bottlenecks and compression (BC).

A convolution, three dense blocks of equal length with transitions between them, and a linear layer.
Source: Huang et al. 2016, arXiv:1608.06993, Sec. 3, "Implementation Details"; order of layers
liuzhuang13/DenseNet, models/densenet.lua and DenseConnectLayer.lua.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P); sizes below at P = 32.
"""

from torch import nn

from transferlab.models.dropout import Dropout
from transferlab.models.stages import Group, Stage, StagedNetwork
from transferlab.models.zoo.dense import block
from transferlab.models.zoo.residual import INITIAL, classifier, convolution

BLOCKS = 3  # sides 32, 16, 8
PLAIN_CHANNELS = 16  # of the first convolution without BC; the authors' later code has 2k
BOTTLENECK = 4  # times k: channels of a bottleneck's 1x1 convolution
COMPRESSION = 2  # of a transition with BC


def build(
    *, num_outputs: int, image_size: int, depth: int, growth: int, bc: bool, dropout: float = 0.0
) -> StagedNetwork:
    """The network of `depth` layers, each with `growth` channels.

    `dropout` is after each convolution but the first, for training without augmentation.
    """
    count = (depth - 4) // BLOCKS // (2 if bc else 1)
    channels = 2 * growth if bc else PLAIN_CHANNELS
    conv0 = convolution(3, channels, 3)
    stages: dict[str, Stage | Group] = {"conv0": Stage({"conv": conv0}, INITIAL)}
    for number in range(1, BLOCKS + 1):
        last = number == BLOCKS
        layers = [_layer(channels + i * growth, growth, bc, dropout) for i in range(count)]
        channels += count * growth
        stages[f"denseblock{number}"] = block(layers, _activation(channels) if last else {})
        if not last:
            out_channels = channels // COMPRESSION if bc else channels
            transition = _convolved(channels, out_channels, 1, dropout)
            transition["pool"] = nn.AvgPool2d(2)
            stages[f"transition{number}"] = Stage(transition, INITIAL)
            channels = out_channels
    return StagedNetwork({**stages, "classifier": classifier(channels, num_outputs)})


def _layer(channels: int, growth: int, bc: bool, dropout: float) -> dict[str, nn.Module]:
    """BN-ReLU-3x3, and with BC BN-ReLU-1x1 before it."""
    if not bc:
        return _convolved(channels, growth, 3, dropout)
    width = BOTTLENECK * growth
    first = _convolved(channels, width, 1, dropout, "1")
    return first | _convolved(width, growth, 3, dropout, "2")


def _convolved(
    channels: int, out_channels: int, kernel: int, dropout: float, number: str = ""
) -> dict[str, nn.Module]:
    """BN-ReLU-convolution, and dropout if there is any."""
    layers: dict[str, nn.Module] = {
        **_activation(channels, number),
        f"conv{number}": convolution(channels, out_channels, kernel),
    }
    if dropout:
        layers[f"dropout{number}"] = Dropout(dropout)
    return layers


def _activation(channels: int, number: str = "") -> dict[str, nn.Module]:
    return {f"norm{number}": nn.BatchNorm2d(channels), f"relu{number}": nn.ReLU(inplace=True)}
