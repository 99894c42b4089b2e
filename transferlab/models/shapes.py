"""What a network's stages look like and cost: output shape, parameters, arithmetic, memory.

Worked out on shapes alone: no image is computed and no weights are held. Multiply-accumulates are
those of convolutions and fully connected layers, every tap counted, zero padding too; what comes
around them (pooling, LRN, activation, dropout) counts as nothing. Memory is counted, not looked up
by kind of layer: what autograd saves in a forward pass.
Shapes: B batch, C channels, P pixels a side; input (B, 3, P, P).
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from transferlab.models.facts import Footprint, StageFacts
from transferlab.models.stages import StagedNetwork

PRECISIONS = torch.float32, torch.bfloat16
FEW, MORE = 2, 3  # images of two batches, whose difference is what each image takes


@dataclass(frozen=True)
class StageShape:
    """One stage for one image: `output` without the batch, `macs` of a forward pass, and its
    memory in training in either precision."""

    name: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    float32: Footprint
    bfloat16: Footprint

    @property
    def fact(self) -> StageFacts:
        """What a plan must know of it."""
        return StageFacts(self.name, self.parameters, self.macs, self.float32, self.bfloat16)


def stages(network: StagedNetwork, image_size: int) -> tuple[StageShape, ...]:
    """The stages, in order, for images of `image_size` pixels a side. Leaves the network alone."""
    with FakeTensorMode():
        bare = _without_weights(network)
        forward = _forward(bare.eval(), image_size)
        bare.train().requires_grad_(True)
        memory = [
            _footprints(bare, image_size, precision)
            for precision in (torch.float32, torch.bfloat16)
        ]
    return tuple(
        StageShape(name, output, sum(p.numel() for p in stage.parameters()), macs, *footprints)
        for (name, stage), (output, macs), *footprints in zip(
            bare.named_children(), forward, *memory, strict=True
        )
    )


def _without_weights(network: StagedNetwork) -> StagedNetwork:
    """A copy whose parameters and buffers have shapes and no memory."""
    bare: dict[int, Tensor] = {
        id(b): torch.empty(b.shape, dtype=b.dtype) for b in network.buffers()
    }
    bare |= {
        id(p): nn.Parameter(torch.empty(p.shape, dtype=p.dtype), p.requires_grad)
        for p in network.parameters()
    }
    return copy.deepcopy(network, bare)


def _forward(network: StagedNetwork, image_size: int) -> list[tuple[tuple[int, ...], int]]:
    """Of every stage, its output's shape for one image and the multiply-accumulates."""
    found = []
    with torch.no_grad():
        x = torch.zeros(1, 3, image_size, image_size)
        for stage in network:
            macs: list[int] = []
            hooks = [
                layer.register_forward_hook(lambda *call, macs=macs: macs.append(_macs(*call)))
                for layer in stage.modules()
            ]
            x = stage(x)
            found.append((tuple(x.shape[1:]), sum(macs)))
            for hook in hooks:
                hook.remove()
    return found


def _macs(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> int:
    """Multiply-accumulates of one layer's forward pass, 0 for a layer of another kind."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
        return output.numel() * layer.weight[0].numel()  # a row, or (C / groups) x kernel
    return 0


# --- memory -------------------------------------------------------------------------------------


def _footprints(network: StagedNetwork, image_size: int, precision: torch.dtype) -> list[Footprint]:
    """What each image of a training batch takes in each stage, the loss counted with the last.

    What does not grow with the batch, like weights, is in both batches and falls out.
    """
    few, more = (_batch_bytes(network, image_size, precision, count) for count in (FEW, MORE))
    return [
        Footprint(*((b - a) // (MORE - FEW) for a, b in zip(*pair, strict=True)))
        for pair in zip(few, more, strict=True)
    ]


def _batch_bytes(
    network: StagedNetwork, image_size: int, precision: torch.dtype, count: int
) -> list[tuple[int, int, int]]:
    """Of every stage: bytes kept of a batch for backward, of its output, of the widest layer."""
    found = []
    x = torch.zeros(count, 3, image_size, image_size)
    labels = torch.zeros(count, dtype=torch.long)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        for depth, stage in enumerate(network, start=1):
            saved: list[Tensor] = []
            with _saving(saved), _widths(stage) as widths:
                output = stage(x)
                if depth == len(network):
                    F.cross_entropy(output.float(), labels)
            kept = {_place(tensor): _bytes(tensor) for tensor in (*saved, output)}
            kept.pop(_place(x), None)
            found.append((sum(kept.values()), _bytes(output), max(widths)))
            x = output.detach().requires_grad_()
    return found


def _saving(saved: list[Tensor]) -> saved_tensors_hooks:
    """Lists what autograd saves, whatever the layers are."""

    def note(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    return saved_tensors_hooks(note, lambda tensor: tensor)


@contextmanager
def _widths(stage: nn.Module) -> Iterator[list[int]]:
    """Lists the bytes of input and output together of each layer."""
    widths = [0]
    hooks = [
        layer.register_forward_hook(
            lambda layer, inputs, output: widths.append(_bytes(inputs[0]) + _bytes(output))
        )
        for layer in stage.modules()
        if not any(layer.children())
    ]
    yield widths
    for hook in hooks:
        hook.remove()


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    """Of the memory that a tensor lies in, which others may share."""
    return tensor.untyped_storage().nbytes()
