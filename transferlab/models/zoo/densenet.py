"""DenseNets for ImageNet, of 121 to 264 layers: torchvision's, in stages.

A DenseNet-BC of four dense blocks. Source: Huang et al. 2016, arXiv:1608.06993, Table 1, for the
numbers of layers; DenseNet-161 is in version 2 of the paper, and of the authors' code.
Shapes: B batch, K outputs, P pixels a side; input (B, 3, P, P); sizes below at P = 224.
"""

from collections.abc import Sequence

import torchvision
from torch import nn

from transferlab.models.stages import Group, Stage, StagedNetwork
from transferlab.models.zoo.dense import block
from transferlab.models.zoo.residual import INITIAL


def build(
    *, num_outputs: int, image_size: int, layers: Sequence[int], growth: int
) -> StagedNetwork:
    """The network with `layers` dense layers in each block, and `growth` channels from each."""
    network = torchvision.models.DenseNet(
        growth_rate=growth,
        block_config=tuple(layers),
        num_init_features=2 * growth,
        num_classes=num_outputs,
    )
    parts = dict(network.features.named_children())
    stages: dict[str, Stage | Group] = {
        "conv0": Stage(
            {name: parts[f"{name}0"] for name in ("conv", "norm", "relu", "pool")}, INITIAL
        )  # (B, 2k, 56, 56)
    }
    for number in range(1, len(layers) + 1):  # sides 56, 28, 14, 7
        last = number == len(layers)
        after = {"norm": parts["norm5"], "relu": nn.ReLU(inplace=True)} if last else {}
        dense = parts[f"denseblock{number}"].children()
        stages[f"denseblock{number}"] = block(
            (dict(each.named_children()) for each in dense), after
        )
        if not last:
            transition = dict(parts[f"transition{number}"].named_children())
            stages[f"transition{number}"] = Stage(transition, INITIAL)
    head = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": network.classifier}
    return StagedNetwork({**stages, "classifier": Stage(head, INITIAL)})
