"""OverFeat: `overfeat_fast`, 145,920,872 parameters with 1,000 outputs, and `overfeat_accurate`,
144,656,488. No normalisation, and pools that do not overlap.

Source: Sermanet et al. 2013, arXiv:1312.6229, Table 1 (fast), Table 3 (accurate), Sec. 3.1 for
initial values and dropout; biases are not given there and start at 0.
Shapes: B batch, K outputs; input (B, 3, 231, 231) or (B, 3, 221, 221), grey levels minus mean.
"""

from torch import nn

from transferlab.models.initial import gaussian
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.models.zoo.layers import convolution, fully_connected, map_side

INITIAL = gaussian(0.01)


def fast(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The eight stages conv1..fc8 of the fast model."""
    convolutions = {
        "conv1": convolution(nn.Conv2d(3, 96, 11, stride=4), INITIAL, pool=_pool(2)),  # 28 x 28
        "conv2": convolution(nn.Conv2d(96, 256, 5), INITIAL, pool=_pool(2)),  # 12 x 12
        "conv3": convolution(nn.Conv2d(256, 512, 3, padding=1), INITIAL),
        "conv4": convolution(nn.Conv2d(512, 1024, 3, padding=1), INITIAL),
        "conv5": convolution(nn.Conv2d(1024, 1024, 3, padding=1), INITIAL, pool=_pool(2)),  # 6 x 6
    }
    widths = {"fc6": 3072, "fc7": 4096, "fc8": num_outputs}
    return _classifying(convolutions, widths, image_size)


def accurate(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The nine stages conv1..fc9 of the accurate model."""
    convolutions = {
        "conv1": convolution(nn.Conv2d(3, 96, 7, stride=2), INITIAL, pool=_pool(3)),  # 36 x 36
        "conv2": convolution(nn.Conv2d(96, 256, 7), INITIAL, pool=_pool(2)),  # 15 x 15
        "conv3": convolution(nn.Conv2d(256, 512, 3, padding=1), INITIAL),
        "conv4": convolution(nn.Conv2d(512, 512, 3, padding=1), INITIAL),
        "conv5": convolution(nn.Conv2d(512, 1024, 3, padding=1), INITIAL),
        "conv6": convolution(nn.Conv2d(1024, 1024, 3, padding=1), INITIAL, pool=_pool(3)),  # 5 x 5
    }
    widths = {"fc7": 4096, "fc8": 4096, "fc9": num_outputs}
    return _classifying(convolutions, widths, image_size)


def _classifying(
    convolutions: dict[str, Stage], widths: dict[str, int], image_size: int
) -> StagedNetwork:
    """Both models end in 1024 maps and three fully connected layers."""
    inputs = 1024 * map_side(convolutions, image_size) ** 2
    classifier = fully_connected(widths, inputs=inputs, initial=INITIAL, last=INITIAL)
    return StagedNetwork({**convolutions, **classifier})


def _pool(size: int) -> nn.Module:
    return nn.MaxPool2d(size, stride=size)
