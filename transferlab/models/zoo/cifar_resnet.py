"""Residual and plain networks for images of 32 pixels, of 6n + 2 layers.

A convolution, three stages of n units with 16, 32 and 64 channels, and a linear layer. Shortcuts
are of option A, so that a plain and a residual network have the same parameters.
Source: He et al. 2015, arXiv:1512.03385, Sec. 4.2; stochastic depth Huang et al. 2016,
arXiv:1603.09382, Sec. 3.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P); sizes below at P = 32.
"""

from torch import nn

from transferlab.models.dropout import StochasticDepth
from transferlab.models.stages import Group, Stage, StagedNetwork
from transferlab.models.zoo.reduction import Reduction, reduce
from transferlab.models.zoo.residual import (
    INITIAL,
    Residual,
    basic,
    classifier,
    convolution,
    shortcut,
)

WIDTHS = (16, 32, 64)


def build(
    *,
    num_outputs: int,
    image_size: int,
    depth: int,
    residual: bool,
    survival: float = 1.0,
    reduction: Reduction = "strided",
) -> StagedNetwork:
    """The network of `depth` = 6n + 2 layers, plain unless `residual`.

    Unit l of L survives in training, for all images of a batch together, with the probability
    1 - l / L (1 - `survival`), and in evaluation its branch is multiplied by it (Eqs. 4 and 5). The
    statistics of its batch norm are those of all batches, the authors' of those it survived.
    `reduction` is what begins the second and the third stage.

    Raises: UserError for an unknown reduction.
    """
    count = (depth - 2) // 6
    stages: dict[str, Stage | Group] = {
        "conv1": Stage(
            {
                "conv": convolution(3, WIDTHS[0], 3),  # (B, 16, 32, 32)
                "bn": nn.BatchNorm2d(WIDTHS[0]),
                "relu": nn.ReLU(inplace=True),
            },
            INITIAL,
        )
    }
    channels = WIDTHS[0]
    for stage, width in enumerate(WIDTHS):  # sides 32, 16, 8
        units = {}
        for index in range(count):
            wider = width > channels
            branch = basic(width, reduce(reduction if wider else None, channels, width))
            death = (stage * count + index + 1) / (len(WIDTHS) * count) * (1 - survival)
            if death:
                branch["survival"] = StochasticDepth(death, by="batch", rescaled=False)
            path = shortcut("A", channels, width, 2 if wider else 1) if residual else None
            units[str(index + 1)] = Stage({"block": Residual(branch, path)}, INITIAL)
            channels = width
        stages[f"stage{stage + 1}"] = Group(units)
    return StagedNetwork({**stages, "fc": classifier(channels, num_outputs)})
