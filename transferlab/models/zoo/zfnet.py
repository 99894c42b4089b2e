"""The networks of Zeiler and Fergus, in lectures also called Clarifai after their author's company.

`zfnet` is that of Fig. 3, 62,357,608 parameters with 1,000 outputs; `zfnet_wide` has 512, 1024 and
512 maps in conv3 to conv5, 107,627,624. Against AlexNet: 7 x 7 kernels with stride 2 in conv1,
stride 2 in conv2 too, no groups, pooling before normalisation.
`small` has an eighth of their maps, for images of 32 pixels.
The sizes of Fig. 3 (110, 55, 26, 13, 13, 13, 6) need padding 1 in conv1 and pools that round up.
The constants of the normalisation are not in the paper: they are Krizhevsky's.
Source: Zeiler, Fergus 2013, arXiv:1311.2901, Fig. 3, initial values Sec. 3, wide Table 2.
Shapes: B batch, K outputs; input (B, 3, 224, 224), grey levels minus their mean.
"""

from torch import nn

from transferlab.models.initial import gaussian, he
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo.layers import convolution, fully_connected, map_side, response_norm

INITIAL = gaussian(0.01)  # "all weights are initialised to 10^-2 and biases are set to 0"
SMALL_UNITS = 512  # of fc6 and fc7: an eighth
SMALL_DROPOUT = 0.25  # as in alexnet_small


def build(*, num_outputs: int, image_size: int, maps: tuple[int, int, int]) -> StagedNetwork:
    """The stages conv1..fc8 for `num_outputs` classes; `maps` are those of conv3, conv4, conv5."""
    third, fourth, fifth = maps
    convolutions = {
        "conv1": convolution(  # (B, 96, 55, 55)
            nn.Conv2d(3, 96, 7, stride=2, padding=1), INITIAL, pool=_pool(), norm=response_norm()
        ),
        "conv2": convolution(  # (B, 256, 13, 13)
            nn.Conv2d(96, 256, 5, stride=2), INITIAL, pool=_pool(), norm=response_norm()
        ),
        "conv3": convolution(nn.Conv2d(256, third, 3, padding=1), INITIAL),
        "conv4": convolution(nn.Conv2d(third, fourth, 3, padding=1), INITIAL),
        "conv5": convolution(  # (B, fifth, 6, 6)
            nn.Conv2d(fourth, fifth, 3, padding=1), INITIAL, pool=_pool()
        ),
    }
    classifier = fully_connected(
        {"fc6": 4096, "fc7": 4096, "fc8": num_outputs},
        inputs=fifth * map_side(convolutions, image_size) ** 2,
        initial=INITIAL,
        last=INITIAL,
    )
    return StagedNetwork({**convolutions, **classifier})


def small(*, num_outputs: int, image_size: int, maps: tuple[int, int, int]) -> StagedNetwork:
    """An eighth of the maps, without strides and normalisation; not from the paper.

    Initial values by He et al. 2015; input of about unit variance. Sizes below at 32 pixels.
    """
    third, fourth, fifth = maps
    convolutions = {
        "conv1": convolution(nn.Conv2d(3, 12, 5, padding=2), he(), pool=_pool()),  # (B, 12, 16, 16)
        "conv2": convolution(nn.Conv2d(12, 32, 5, padding=2), he(), pool=_pool()),  # (B, 32, 8, 8)
        "conv3": convolution(nn.Conv2d(32, third, 3, padding=1), he()),
        "conv4": convolution(nn.Conv2d(third, fourth, 3, padding=1), he()),
        "conv5": convolution(  # (B, fifth, 4, 4)
            nn.Conv2d(fourth, fifth, 3, padding=1), he(), pool=_pool()
        ),
    }
    classifier = fully_connected(
        {"fc6": SMALL_UNITS, "fc7": SMALL_UNITS, "fc8": num_outputs},
        inputs=fifth * map_side(convolutions, image_size) ** 2,
        initial=he(),
        last=INITIAL,
        dropout=SMALL_DROPOUT,
    )
    return StagedNetwork({**convolutions, **classifier})


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
