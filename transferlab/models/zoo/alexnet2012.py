"""AlexNet as its paper has it: 60,965,224 parameters with 1,000 outputs.

Normalisation comes before pooling, unlike in Caffe's network, `alexnet`. The two towers on two GPUs
are groups of channels: conv2, conv4 and conv5 see their own half. The paper writes of 224 pixels,
which its code extends to the right and below by 3 rows of zeros; 227 without give the same maps.
Source: Krizhevsky, Sutskever, Hinton 2012: layers Sec. 3.3 to 3.5 and Fig. 2, dropout Sec. 4.2,
initial values Sec. 5. Shapes: B batch, K outputs; input (B, 3, 227, 227), grey levels minus mean.
"""

from torch import nn

from transferlab.models.initial import gaussian
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.models.zoo.layers import convolution, fully_connected, map_side, response_norm

ZERO, ONE = gaussian(0.01, bias=0.0), gaussian(0.01, bias=1.0)


def build(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The eight stages conv1..fc8 for `num_outputs` classes, weights not yet drawn."""
    convolutions: dict[str, Stage] = {
        "conv1": convolution(  # (B, 96, 27, 27)
            nn.Conv2d(3, 96, 11, stride=4), ZERO, norm=response_norm(), pool=_pool()
        ),
        "conv2": convolution(  # (B, 256, 13, 13)
            nn.Conv2d(96, 256, 5, padding=2, groups=2), ONE, norm=response_norm(), pool=_pool()
        ),
        "conv3": convolution(nn.Conv2d(256, 384, 3, padding=1), ZERO),  # (B, 384, 13, 13)
        "conv4": convolution(nn.Conv2d(384, 384, 3, padding=1, groups=2), ONE),
        "conv5": convolution(  # (B, 256, 6, 6)
            nn.Conv2d(384, 256, 3, padding=1, groups=2), ONE, pool=_pool()
        ),
    }
    classifier = fully_connected(
        {"fc6": 4096, "fc7": 4096, "fc8": num_outputs},
        inputs=256 * map_side(convolutions, image_size) ** 2,
        initial=ONE,
        last=ZERO,
    )
    return StagedNetwork({**convolutions, **classifier})


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2)  # overlapping: Sec. 3.4
