"""What a network's stages look like and cost: output shape, parameters, multiply-accumulates.

Worked out on shapes alone: no image is computed and no weights are held. Multiply-accumulates are
those of convolutions and fully connected layers, every tap counted, zero padding too; what comes
around them (pooling, LRN, activation, dropout) counts as nothing.
Shapes: B batch, C channels, P pixels a side; input (B, 3, P, P).
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transferlab.models.stages import StagedNetwork


@dataclass(frozen=True)
class StageShape:
    """One stage for one image: `output` without the batch, `macs` of a forward pass."""

    name: str
    output: tuple[int, ...]
    parameters: int
    macs: int


def stages(network: StagedNetwork, image_size: int) -> tuple[StageShape, ...]:
    """The stages, in order, for images of `image_size` pixels a side. Leaves the network alone."""
    bare = _without_weights(network).eval()
    found = []
    with torch.device("meta"), torch.no_grad():
        x = torch.zeros(1, 3, image_size, image_size)
        for name, stage in bare.named_children():
            macs: list[int] = []
            for layer in stage.modules():
                layer.register_forward_hook(lambda *call, macs=macs: macs.append(_macs(*call)))
            x = stage(x)
            parameters = sum(p.numel() for p in stage.parameters())
            found.append(StageShape(name, tuple(x.shape[1:]), parameters, sum(macs)))
    return tuple(found)


def _without_weights(network: StagedNetwork) -> StagedNetwork:
    """A copy whose parameters and buffers have shapes and no memory."""
    bare: dict[int, Tensor] = {id(b): b.to("meta") for b in network.buffers()}
    bare |= {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in network.parameters()}
    return copy.deepcopy(network, bare)


def _macs(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> int:
    """Multiply-accumulates of one layer's forward pass, 0 for a layer of another kind."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
        return output.numel() * layer.weight[0].numel()  # a row, or (C / groups) x kernel
    return 0
