"""The shape and cost of a network's stages: output, parameters, arithmetic, memory.

Computed on fake tensors, which have shapes and no values. Multiply-accumulates are those of the
operations that torch counts, whatever module calls them: convolutions (transposed ones too) and
matrix products, every tap of a kernel, also those on zero padding. Pooling, normalisation,
activation and dropout count as none. Memory is what autograd saves in a forward pass.
Shapes: B batch, P pixels a side; input (B, 3, P, P).
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import flop_counter  # which imports triton when it is used
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from transferlab.models import vanishing
from transferlab.models.facts import Footprint, StageFacts
from transferlab.models.stages import StagedNetwork

FEW, MORE = 2, 3  # images of two batches, whose difference is what each image takes
FLOPS_PER_MAC = 2  # a multiplication and an addition
WITH_SUMMAND = (torch.ops.aten.addmm, torch.ops.aten.baddbmm)  # their first argument is no factor


@dataclass(frozen=True)
class StageShape:
    """One stage for one image: the shape of its output, without the batch; its parameters; the
    multiply-accumulates of a forward pass, and those that `StageFacts` names; its memory in
    training in either precision. Parameters and memory count the auxiliary classifiers on its
    output, which learn if it does."""

    name: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    entry: int
    auxiliary: int
    float32: Footprint
    bfloat16: Footprint

    @property
    def facts(self) -> StageFacts:
        """The facts of the stage that a plan needs."""
        memory = (self.float32, self.bfloat16)
        return StageFacts(
            self.name, self.parameters, self.macs, *memory, self.entry, self.auxiliary
        )


def stages(network: StagedNetwork, image_size: int) -> tuple[StageShape, ...]:
    """The stages, in order, for images of `image_size` pixels a side. The network is unchanged.

    Raises: UserError that names the stage in which nothing is left of smaller images.
    """
    with vanishing.explained(network, image_size), FakeTensorMode():
        bare = _without_weights(network).requires_grad_(True)
        forward = _forward(bare.eval(), image_size)
        memory = [
            _footprints(bare.train(), image_size, precision)
            for precision in (torch.float32, torch.bfloat16)
        ]
    return tuple(
        StageShape(name, output, _parameters(bare, depth, stage), *macs, *footprints)
        for depth, ((name, stage), (output, *macs), *footprints) in enumerate(
            zip(bare.stages.items(), forward, *memory, strict=True), start=1
        )
    )


def _parameters(network: StagedNetwork, depth: int, stage: nn.Module) -> int:
    """Those of stage `depth` and of the auxiliary classifiers on its output."""
    modules = [stage, *(head for head, _ in network.auxiliary_at(depth))]
    return sum(p.numel() for module in modules for p in module.parameters())


def _without_weights(network: StagedNetwork) -> StagedNetwork:
    """A copy whose parameters and buffers have shapes and no memory."""
    copies: dict[int, Tensor] = {
        id(b): torch.empty(b.shape, dtype=b.dtype) for b in network.buffers()
    }
    copies |= {
        id(p): nn.Parameter(torch.empty(p.shape, dtype=p.dtype), p.requires_grad)
        for p in network.parameters()
    }
    return copy.deepcopy(network, copies)


def _forward(
    network: StagedNetwork, image_size: int
) -> list[tuple[tuple[int, ...], int, int, int]]:
    """For every stage: the shape of its output for one image, and the multiply-accumulates of the
    stage, of its entry and of its auxiliary classifiers.

    With gradients and the mathematical form of attention: fused forms, which torch takes where it
    can, are not counted.
    """
    forward = []
    with sdpa_kernel(SDPBackend.MATH):
        x = torch.zeros(1, 3, image_size, image_size)
        for depth, stage in enumerate(network, start=1):
            with (
                flop_counter.FlopCounterMode(display=False) as counter,
                _WithoutGradient() as entry,
            ):
                x = stage(x.detach())
            macs = [counter.get_total_flops() // FLOPS_PER_MAC, entry.macs]
            with flop_counter.FlopCounterMode(display=False) as counter:
                for head, _ in network.auxiliary_at(depth):
                    head(x)
            forward.append((tuple(x.shape[1:]), *macs, counter.get_total_flops() // FLOPS_PER_MAC))
    return forward


class _WithoutGradient(TorchDispatchMode):
    """Counts the multiply-accumulates with a factor that has no gradient."""

    macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        output = func(*args, **(kwargs or {}))
        operation = func._overloadpacket
        if operation in flop_counter.flop_registry:
            flops = flop_counter.flop_registry[operation](*args, **(kwargs or {}), out_val=output)
            factors = args[1:3] if operation in WITH_SUMMAND else args[:2]
            self.macs += sum(not x.requires_grad for x in factors) * flops // FLOPS_PER_MAC
        return output


# --- memory -------------------------------------------------------------------------------------


def _footprints(network: StagedNetwork, image_size: int, precision: torch.dtype) -> list[Footprint]:
    """The memory of each image of a training batch in each stage, the loss counted with the last.

    Memory that does not grow with the batch, such as weights, cancels in the difference.
    """
    few, more = (_batch_bytes(network, image_size, precision, count) for count in (FEW, MORE))
    return [
        Footprint(*((b - a) // (MORE - FEW) for a, b in zip(*pair, strict=True)))
        for pair in zip(few, more, strict=True)
    ]


def _batch_bytes(
    network: StagedNetwork, image_size: int, precision: torch.dtype, count: int
) -> list[tuple[int, int, int]]:
    """For every stage, the bytes of a batch: kept for backward, its output, its widest layer."""
    stages = []
    x = torch.zeros(count, 3, image_size, image_size)
    labels = torch.zeros(count, dtype=torch.long)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        for depth, stage in enumerate(network, start=1):
            saved: list[Tensor] = []
            with _saving(saved), _widths(stage) as widths:
                output = stage(x)
                logits = [head(output) for head, _ in network.auxiliary_at(depth)]
                if depth == len(network):
                    logits.append(output)
                for each in logits:
                    F.cross_entropy(each.float(), labels)
            kept = {_storage(tensor): _bytes(tensor) for tensor in (*saved, output)}
            kept.pop(_storage(x), None)
            widths.append(_bytes(x) + _bytes(output))
            stages.append((sum(kept.values()), _bytes(output), max(widths)))
            x = output.detach().requires_grad_()
    return stages


def _saving(saved: list[Tensor]) -> saved_tensors_hooks:
    """Appends every tensor that autograd saves."""

    def save(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    return saved_tensors_hooks(save, lambda tensor: tensor)


@contextmanager
def _widths(stage: nn.Module) -> Iterator[list[int]]:
    """The bytes of input and output together of each layer that is called."""
    widths: list[int] = []
    hooks = [
        layer.register_forward_hook(
            lambda layer, inputs, output: widths.append(_total_bytes(inputs) + _total_bytes(output))
        )
        for layer in stage.modules()
        if not any(layer.children())
    ]
    yield widths
    for hook in hooks:
        hook.remove()


def _total_bytes(tree: object) -> int:
    """Of all tensors in nested tuples, lists and mappings."""
    return sum(_bytes(leaf) for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    """The size of the tensor's storage, which other tensors may share."""
    return tensor.untyped_storage().nbytes()
