"""Kinds of modules and of their parameters: what initial values, rates and decay go by.

Never by a parameter's name: a batch norm's scale is called `weight` too.
"""

from collections.abc import Iterator
from typing import Literal

from torch import nn

Kind = Literal["weights", "biases", "norms"]
LINEAR = (nn.modules.conv._ConvNd, nn.Linear)
BATCH_NORM = nn.modules.batchnorm._NormBase  # with instance norm: all that may have statistics
NORMALISATION = (BATCH_NORM, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def parameters(network: nn.Module) -> Iterator[tuple[str, nn.Parameter, Kind]]:
    """Name, parameter and kind of every parameter, in the order of `named_parameters`.

    `norms`: scale and shift of a normalisation layer; `biases`: the bias of any other module;
    `weights`: all else.
    """
    owners = {
        id(parameter): module
        for module in network.modules()
        for parameter in module.parameters(recurse=False)
    }
    for name, parameter in network.named_parameters():
        yield name, parameter, _kind(owners[id(parameter)], parameter)


def has_statistics(network: nn.Module) -> bool:
    """Whether it has batch norm that uses the statistics of the batch: not frozen."""
    return any(isinstance(module, BATCH_NORM) and module.training for module in network.modules())


def _kind(owner: nn.Module, parameter: nn.Parameter) -> Kind:
    if isinstance(owner, NORMALISATION):
        return "norms"
    return "biases" if parameter is getattr(owner, "bias", None) else "weights"
