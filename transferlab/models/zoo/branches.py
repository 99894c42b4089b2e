"""Parts of the Inception families: chains, parallel branches, a convolution and what follows it.

Shapes: B batch, C channels, H rows, W columns.
"""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

Size = int | tuple[int, int]
EPSILON = 1e-3  # of batch norm; tensorflow/models, slim/nets/inception_utils.py


class Branches(nn.Module):
    """Named branches of one input; their outputs are concatenated along the channels, in order."""

    def __init__(self, branches: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


def chain(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    """Named layers, one after the other."""
    return nn.Sequential(OrderedDict(layers))


def convolution(
    channels: int,
    width: int,
    kernel: Size = 1,
    *,
    stride: int = 1,
    padding: Size = 0,
    normalised: bool = True,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """A convolution from `channels` to `width` channels and its activation.

    With batch norm between them and without a bias, or, not `normalised`, the other way round.
    """
    bias = not normalised
    conv = nn.Conv2d(channels, width, kernel, stride=stride, padding=padding, bias=bias)
    norm = {"bn": nn.BatchNorm2d(width, eps=EPSILON)} if normalised else {}
    return chain({"conv": conv, **norm, "act": activation()})
