"""CNN-F, CNN-M and CNN-S of "Return of the Devil in the Details", and CNN-M with a narrower fc7.

Parameters with 1,000 outputs: F 60,834,536; M 102,908,520, with fc7 of 2048, 1024 or 128 units
92,469,864, 87,250,536 or 82,683,624; S 102,908,520, which differs from M in its maps only. Pools
round up, normalisation comes before them, and there are no groups. conv2 of CNN-S is without
padding, as in the released model; Table 1 prints 1, which gives the same 6 x 6 in the end.
The paper's CNN-M for one grey channel is any of them on grey images of three channels
(`data.grey`). `small` has the three and their widths of fc7 at an eighth, for images of 32 pixels.
Source: Chatfield et al. 2014, arXiv:1405.3531, Table 1, initial values Sec. 3; models of the
authors' release for rounding and padding. Differs: the paper writes of a variance of 10^-2, read
here as the deviation, as Krizhevsky's: see `vgg`, whose authors write the same; biases are 0.
Shapes: B batch, K outputs; input (B, 3, 224, 224), grey levels minus their mean.
"""

from torch import nn

from transferlab.models.initial import Initial, gaussian, he
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.models.zoo.layers import convolution, fully_connected, map_side, response_norm

INITIAL = gaussian(0.01)
SMALL_UNITS = 512  # of fc6: an eighth
SMALL_DROPOUT = 0.25  # as in alexnet_small


def fast(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The eight stages conv1..fc8 of CNN-F."""
    convolutions = {
        "conv1": convolution(  # (B, 64, 27, 27)
            nn.Conv2d(3, 64, 11, stride=4), INITIAL, norm=response_norm(), pool=_pool(3, 2)
        ),
        "conv2": convolution(  # (B, 256, 13, 13)
            nn.Conv2d(64, 256, 5, padding=2), INITIAL, norm=response_norm(), pool=_pool(3, 2)
        ),
        **_third_to_fifth(256, pool=_pool(3, 2)),  # (B, 256, 6, 6)
    }
    return _classifying(convolutions, 256, num_outputs, image_size, fc7=4096)


def medium(*, num_outputs: int, image_size: int, fc7: int) -> StagedNetwork:
    """The eight stages conv1..fc8 of CNN-M, with `fc7` units in fc7."""
    convolutions = {
        "conv1": convolution(  # (B, 96, 54, 54)
            nn.Conv2d(3, 96, 7, stride=2), INITIAL, norm=response_norm(), pool=_pool(3, 2)
        ),
        "conv2": convolution(  # (B, 256, 13, 13)
            nn.Conv2d(96, 256, 5, stride=2, padding=1),
            INITIAL,
            norm=response_norm(),
            pool=_pool(3, 2),
        ),
        **_third_to_fifth(512, pool=_pool(3, 2)),  # (B, 512, 6, 6)
    }
    return _classifying(convolutions, 512, num_outputs, image_size, fc7=fc7)


def slow(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """The eight stages conv1..fc8 of CNN-S."""
    convolutions = {
        "conv1": convolution(  # (B, 96, 37, 37)
            nn.Conv2d(3, 96, 7, stride=2), INITIAL, norm=response_norm(), pool=_pool(3, 3)
        ),
        "conv2": convolution(nn.Conv2d(96, 256, 5), INITIAL, pool=_pool(2, 2)),  # (B, 256, 17, 17)
        **_third_to_fifth(512, pool=_pool(3, 3)),  # (B, 512, 6, 6)
    }
    return _classifying(convolutions, 512, num_outputs, image_size, fc7=4096)


def small(*, num_outputs: int, image_size: int, kind: str, fc7: int) -> StagedNetwork:
    """CNN-F, M or S, the `kind`, with an eighth of the maps, for small images; not from the paper.

    What tells the three apart stays: F has a stride in conv1 where M and S have none, and M one in
    conv2 where S has none, and pools of a stride of 3. No normalisation; initial values by He et
    al. 2015; input of about unit variance. Sizes below at 32 pixels.
    """
    first = {  # (B, 8, 8, 8), (B, 12, 16, 16), (B, 12, 11, 11)
        "F": convolution(nn.Conv2d(3, 8, 5, stride=2, padding=2), he(), pool=_pool(2, 2)),
        "M": convolution(nn.Conv2d(3, 12, 3, padding=1), he(), pool=_pool(2, 2)),
        "S": convolution(nn.Conv2d(3, 12, 3, padding=1), he(), pool=_pool(3, 3)),
    }
    second = {  # (B, 32, 4, 4), (B, 32, 4, 4), (B, 32, 6, 6)
        "F": convolution(nn.Conv2d(8, 32, 5, padding=2), he(), pool=_pool(2, 2)),
        "M": convolution(nn.Conv2d(12, 32, 5, stride=2, padding=2), he(), pool=_pool(2, 2)),
        "S": convolution(nn.Conv2d(12, 32, 5, padding=2), he(), pool=_pool(2, 2)),
    }
    maps = 32 if kind == "F" else 64
    last = _pool(3, 3) if kind == "S" else _pool(2, 2)  # (B, maps, 2, 2)
    convolutions = {
        "conv1": first[kind],
        "conv2": second[kind],
        **_third_to_fifth(maps, pool=last, channels=32, initial=he()),
    }
    classifier = fully_connected(
        {"fc6": SMALL_UNITS, "fc7": fc7, "fc8": num_outputs},
        inputs=maps * map_side(convolutions, image_size) ** 2,
        initial=he(),
        last=INITIAL,
        dropout=SMALL_DROPOUT,
    )
    return StagedNetwork({**convolutions, **classifier})


def _third_to_fifth(
    maps: int, *, pool: nn.Module, channels: int = 256, initial: Initial = INITIAL
) -> dict[str, Stage]:
    return {
        "conv3": convolution(nn.Conv2d(channels, maps, 3, padding=1), initial),
        "conv4": convolution(nn.Conv2d(maps, maps, 3, padding=1), initial),
        "conv5": convolution(nn.Conv2d(maps, maps, 3, padding=1), initial, pool=pool),
    }


def _classifying(
    convolutions: dict[str, Stage], maps: int, num_outputs: int, image_size: int, *, fc7: int
) -> StagedNetwork:
    classifier = fully_connected(
        {"fc6": 4096, "fc7": fc7, "fc8": num_outputs},
        inputs=maps * map_side(convolutions, image_size) ** 2,
        initial=INITIAL,
        last=INITIAL,
    )
    return StagedNetwork({**convolutions, **classifier})


def _pool(size: int, stride: int) -> nn.Module:
    return nn.MaxPool2d(size, stride=stride, ceil_mode=True)
