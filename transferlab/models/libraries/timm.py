"""timm: its classification networks, and the groups that its authors divide them into."""

from collections.abc import Mapping
from typing import Any

import timm
from timm.layers import DropPath
from timm.models._manipulate import group_parameters
from torch import nn

from transferlab.models.dropout import StochasticDepth
from transferlab.models.libraries import structure
from transferlab.models.libraries.cutting import Groups
from transferlab.models.libraries.network import Library


def _construct(name: str, num_outputs: int, image_size: int) -> nn.Module:
    config = timm.get_pretrained_cfg(name)
    fixed = config is not None and config.fixed_input_size
    size: dict[str, Any] = {"img_size": image_size} if fixed else {}
    return timm.create_model(name, pretrained=False, num_classes=num_outputs, **size)


def _groups(network: nn.Module) -> Groups:
    if not hasattr(network, "group_matcher"):
        return structure.groups(network)
    fine = _group_of(network, coarse=False)
    try:
        stage = _group_of(network, coarse=True)
    except AssertionError:  # one divides itself in one way only
        stage = fine
    return Groups(stage, _refined(network, fine) if stage == fine else fine)


def _group_of(network: nn.Module, *, coarse: bool) -> dict[str, int]:
    """Parameter name -> the group that timm's authors give it."""
    matcher = network.group_matcher(coarse=coarse)  # type: ignore[operator]
    return group_parameters(network, matcher, reverse=True)


def _refined(network: nn.Module, group_of: Mapping[str, int]) -> dict[str, int]:
    """The groups between the first and the last, divided into blocks by their structure."""
    block_of = structure.groups(network).fine
    ends = min(group_of.values()), max(group_of.values())
    pairs = {
        name: (group, -1 if group in ends else block_of.get(name, -1))
        for name, group in group_of.items()
    }
    numbers = {pair: number for number, pair in enumerate(sorted(set(pairs.values())))}
    return {name: numbers[pair] for name, pair in pairs.items()}


LIBRARY = Library(
    names=timm.list_models(),
    construct=_construct,
    groups=_groups,
    replacements={
        DropPath: lambda module: StochasticDepth(
            module.drop_prob or 0.0, by="row", rescaled=module.scale_by_keep
        )
    },
)
