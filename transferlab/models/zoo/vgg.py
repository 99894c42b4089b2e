"""VGG: A, A-LRN, B, C, D and E with 11, 11, 13, 16, 16 and 19 weight layers, and a small one.

Millions of parameters with 1,000 outputs: 132.9, 132.9, 133.0, 133.6, 138.4, 143.7. A, B, D and E
are torchvision's graphs of vgg11, 13, 16 and 19. A-LRN is A with a normalisation after the first
convolution; C is D with a 1 x 1 kernel in the last convolution of blocks 3 to 5. fc6 fits the map
of the image: 7 x 7 at 224 pixels, where torchvision pools others to that size. B has a control in
which one 5 x 5 convolution stands for each pair of 3 x 3 (Sec. 4.1). All of them exist with an
eighth of the maps for images of 32 pixels, which are not from the paper.
Source: Simonyan, Zisserman 2014, arXiv:1409.1556, Table 1, initial values Sec. 3.1.

Initial values: A and A-LRN N(0, 0.01 ** 2), biases 0. Differs: the paper writes of a *variance* of
10^-2, with which the logits of A for photographs start at 4e7 and the loss of the second step is
nan at the paper's rate; He et al. 2015 (arXiv:1502.01852, Sec. 2.2) take 0.01 as the deviation of
its net B. The authors started B to E from a trained A, or, as they found later, from the values of
Glorot and Bengio without it: from these they start here.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P), grey levels minus mean.
"""

from collections.abc import Callable

import torch
from torch import nn
from torchvision import models

from transferlab.models.initial import Initial, gaussian, glorot, he
from transferlab.models.stages import Group, Stage, StagedNetwork
from transferlab.models.zoo.layers import fully_connected, map_side, response_norm
from transferlab.models.zoo.reduction import Reduction, reduce

# configuration -> torchvision's network, and the rule of initial values
CONFIGURATIONS: dict[str, tuple[Callable[..., models.VGG], Initial]] = {
    "A": (models.vgg11, gaussian(0.01)),
    "A-LRN": (models.vgg11, gaussian(0.01)),
    "B": (models.vgg13, glorot()),
    "C": (models.vgg16, glorot()),
    "D": (models.vgg16, glorot()),
    "E": (models.vgg19, glorot()),
}
EIGHTH = 8  # the small ones have an eighth of the maps
EIGHTH_UNITS = 256  # of fc6 and fc7, since fc6 sees one pixel of 64 maps
SMALL = ((32,), (64,), (96, 96), (128, 128))  # maps of the convolutions of each block
SMALL_DROPOUT = 0.25  # as in alexnet_small


def build(
    *, num_outputs: int, image_size: int, configuration: str, pairs: bool = True
) -> StagedNetwork:
    """The stages block1..block5, fc6, fc7, fc8 of a configuration, weights not yet drawn.

    The stages of a block, with cuts=fine, are conv1_1, conv1_2, ... Without `pairs` each block has
    one convolution of 5 x 5 pixels in place of its two of 3 x 3: the control of B.
    """
    library, initial = CONFIGURATIONS[configuration]
    groups = _groups(configuration, _blocks(library), initial, pairs=pairs)
    classifier = fully_connected(
        {"fc6": 4096, "fc7": 4096, "fc8": num_outputs},
        inputs=512 * map_side(groups, image_size) ** 2,
        initial=initial,
        last=initial,
    )
    return StagedNetwork({**groups, **classifier})


def eighth(
    *, num_outputs: int, image_size: int, configuration: str, pairs: bool = True
) -> StagedNetwork:
    """`build` with an eighth of the maps and 256 units, for small images; not from the paper.

    2 to 6 million multiply-accumulates at 32 pixels. Initial values by He et al. 2015 and input of
    about unit variance, as in `small`.
    """
    library, _ = CONFIGURATIONS[configuration]
    blocks, channels = _blocks(library), 3
    for layers in (layers for block in blocks for layers in block):
        maps = _channels(layers[0])[1] // EIGHTH
        layers[0] = nn.Conv2d(channels, maps, 3, padding=1)
        channels = maps
    groups = _groups(configuration, blocks, he(), pairs=pairs)
    classifier = fully_connected(
        {"fc6": EIGHTH_UNITS, "fc7": EIGHTH_UNITS, "fc8": num_outputs},
        inputs=channels * map_side(groups, image_size) ** 2,
        initial=he(),
        last=gaussian(0.01),
        dropout=SMALL_DROPOUT,
    )
    return StagedNetwork({**groups, **classifier})


def _groups(
    configuration: str, blocks: list[list[list[nn.Module]]], initial: Initial, *, pairs: bool
) -> dict[str, Group]:
    """The convolutional stages, in their blocks, of a configuration with these layers."""
    if configuration == "A-LRN":
        blocks[0][0].insert(2, response_norm())
    if configuration == "C":
        for block in blocks[2:]:
            block[-1][0] = nn.Conv2d(*_channels(block[-1][0]), 1)
    if not pairs:
        for block in blocks:
            inputs, maps = _channels(block[0][0])[0], _channels(block[-1][0])[1]
            block[:] = [[nn.Conv2d(inputs, maps, 5, padding=2), *block[-1][1:]]]
    return {
        f"block{number}": Group(
            {
                f"conv{number}_{place}": Stage({_name(layer): layer for layer in layers}, initial)
                for place, layers in enumerate(block, start=1)
            }
        )
        for number, block in enumerate(blocks, start=1)
    }


def small(
    *, num_outputs: int, image_size: int, reduction: Reduction | None = None
) -> StagedNetwork:
    """The stages block1..block4, fc5, fc6, fc7 for images of 16 to 96 pixels; not from the paper.

    18 million multiply-accumulates at 32 pixels. Initial values by He et al. 2015, since those of
    the paper hardly learn in a few epochs; input of about unit variance. A `reduction` opens
    block2..block4 in place of the pooling that ends block1..block3.
    """
    groups, channels, side = {}, 3, image_size
    for _ in SMALL[1:]:
        side = side // 2 if reduction is None else (side + 1) // 2  # as they round
    for number, widths in enumerate(SMALL, start=1):
        stages = {}
        for place, width in enumerate(widths, start=1):
            opening = reduction if place == 1 and number > 1 else None
            layers: dict[str, nn.Module] = {
                "conv": reduce(opening, channels, width, bias=True),
                "relu": nn.ReLU(),
            }
            if place == len(widths) and (reduction is None or number == len(SMALL)):
                layers["pool"] = nn.MaxPool2d(2)
            stages[f"conv{number}_{place}"] = Stage(layers, he())
            channels = width
        groups[f"block{number}"] = Group(stages)
    classifier = fully_connected(
        {"fc5": 256, "fc6": 256, "fc7": num_outputs},
        inputs=channels * (side // 2) ** 2,
        initial=he(),
        last=gaussian(0.01),
        dropout=SMALL_DROPOUT,
    )
    return StagedNetwork({**groups, **classifier})


def _blocks(library: Callable[..., models.VGG]) -> list[list[list[nn.Module]]]:
    """torchvision's layers by block and convolution: each convolution with what follows it.

    Without values: its network is made without memory, and only what is used gets some.
    """
    device = torch.get_default_device()
    with torch.device("meta"):
        features = library(init_weights=False).features
    blocks: list[list[list[nn.Module]]] = []
    closed = True
    for layer in features.to_empty(device=device):
        if isinstance(layer, nn.Conv2d):
            blocks += [[]] if closed else []
            blocks[-1].append([])
        blocks[-1][-1].append(layer)
        closed = isinstance(layer, nn.MaxPool2d)
    return blocks


def _channels(layer: nn.Module) -> tuple[int, int]:
    assert isinstance(layer, nn.Conv2d)
    return layer.in_channels, layer.out_channels


def _name(layer: nn.Module) -> str:
    names = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}
    return names.get(type(layer), "norm")
