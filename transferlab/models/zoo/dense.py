"""The layer that all DenseNets are made of, and the stages of a dense block.

Shapes: B batch, C channels, k growth rate, H pixels a side of a map.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from transferlab.models.stages import Group, Stage
from transferlab.models.zoo.residual import INITIAL

Layers = Mapping[str, nn.Module]


class Dense(nn.Module):
    """x and, after its channels, layers(x): from (B, C, H, H) to (B, C + k, H, H).

    So the crossing tensor of a cut inside a dense block is the whole concatenation.
    Source: Huang et al. 2016, arXiv:1608.06993, Eq. 2.
    """

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.layers = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], 1)


def block(layers: Iterable[Layers], after: Layers | None = None) -> Group:
    """A dense block: a stage for each layer, and `after`, the last BN-ReLU, with the last of them.

    The initial values are those of the authors' code, liuzhuang13/DenseNet, models/densenet.lua,
    "Initialization following ResNet".
    """
    stages: list[dict[str, nn.Module]] = [{"dense": Dense(each)} for each in layers]
    stages[-1].update(after or {})
    return Group(
        {f"layer{number}": Stage(each, INITIAL) for number, each in enumerate(stages, start=1)}
    )
