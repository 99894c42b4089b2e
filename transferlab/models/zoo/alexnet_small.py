"""A network for small images with the eight stages of AlexNet: conv1..conv5, fc6, fc7, fc8.

Not from the paper. 20 million multiply-accumulates at 32 pixels, so that a study fits a laptop. No
LRN and no groups, which cost more time than they gain accuracy at this size; initial weights by He
et al. 2015 (std = sqrt(2 / fan-in)), since N(0, 0.01) hardly learns in a few epochs; dropout 0.25.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P), about unit variance.
"""

from torch import nn

from transferlab.models.dropout import Dropout
from transferlab.models.initial import gaussian, he
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.models.zoo.reduction import Reduction, reduce

DROPOUT = 0.25  # 0.5 halves what nine epochs can learn: 0.22 instead of 0.29 on 100 classes


def build(
    *, num_outputs: int, image_size: int, reduction: Reduction | None = None
) -> StagedNetwork:
    """The stages for `num_outputs` classes and images of `image_size` pixels, not yet drawn.

    Above 96 pixels fc6 would dominate. A `reduction` opens conv2 and conv3 in place of the pooling
    that ends conv1 and conv2.
    """
    pool = reduction is None
    side = image_size
    for _ in range(3):
        side = (side + 1) // 2
    return StagedNetwork(
        {
            "conv1": _conv(nn.Conv2d(3, 32, 5, padding=2), pool=pool),  # (B, 32, P/2, P/2)
            "conv2": _conv(reduce(reduction, 32, 64, bias=True), pool=pool),  # (B, 64, P/4, P/4)
            "conv3": _conv(reduce(reduction, 64, 96, bias=True), pool=False),  # (B, 96, P/4, P/4)
            "conv4": _conv(nn.Conv2d(96, 96, 3, padding=1), pool=False),  # (B, 96, P/4, P/4)
            "conv5": _conv(nn.Conv2d(96, 64, 3, padding=1), pool=True),  # (B, 64, P/8, P/8)
            "fc6": Stage(
                {
                    "flatten": nn.Flatten(),
                    "fc": nn.Linear(64 * side * side, 512),
                    "relu": nn.ReLU(),
                },
                he(),
            ),
            "fc7": Stage(
                {"dropout": Dropout(DROPOUT), "fc": nn.Linear(512, 512), "relu": nn.ReLU()},
                he(),
            ),
            "fc8": Stage(
                {"dropout": Dropout(DROPOUT), "fc": nn.Linear(512, num_outputs)},  # (B, K)
                gaussian(0.01),
            ),
        }
    )


def _conv(conv: nn.Module, *, pool: bool) -> Stage:
    layers: dict[str, nn.Module] = {"conv": conv, "relu": nn.ReLU()}
    if pool:
        layers["pool"] = nn.MaxPool2d(3, stride=2, padding=1)  # rounds up: P -> (P + 1) // 2
    return Stage(layers, he())
