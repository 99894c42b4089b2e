"""A network as an ordered mapping of stage name to module, which can be cut, copied and frozen.

A stage is one weight layer with the parameter-free operations around it. Dropout is the first layer
of the stage whose input it drops, so that the output of a prefix of convolutions is a function of
the image alone. Shapes: B batch, K outputs, P pixels a side.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import takewhile

import torch
from torch import nn

from transferlab.models.dropout import Dropout


class Stage(nn.Sequential):
    """Named layers, at most one of them with weights, and the distribution of initial weights."""

    def __init__(self, layers: Mapping[str, nn.Module], *, weight_std: float, bias: float) -> None:
        super().__init__(OrderedDict(layers))
        self.weight_std = weight_std
        self.bias = bias

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights from N(0, weight_std ** 2) and set biases to `bias`, in place."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.constant_(parameter, self.bias)
            else:
                nn.init.normal_(parameter, 0.0, self.weight_std, generator=generator)


class StagedNetwork(nn.Sequential):
    """Stages 1..N under their names, from images (B, 3, P, P) to logits (B, K).

    The last stage is the classifier. Weights are undefined until `initialise` or a `state_dict` is
    loaded.
    """

    def __init__(self, stages: Mapping[str, Stage]) -> None:
        super().__init__(OrderedDict(stages))

    @property
    def stage_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.named_children())

    def prefix(self, n: int) -> nn.Sequential:
        """Stages 1..n, from images to features; the weights are shared with this network."""
        return nn.Sequential(*list(self)[:n])

    def head(self, n: int) -> nn.Sequential:
        """Stages n+1..N, from the features of `prefix(n)` to logits; the weights are shared."""
        return nn.Sequential(*list(self)[n:])

    def initialise(self, seed_of: Callable[[str], int]) -> None:
        """Draw initial weights, in place; `seed_of(name)` is the seed of that stage."""
        for name, stage in self.named_children():
            assert isinstance(stage, Stage)
            stage.initialise(torch.Generator().manual_seed(seed_of(name)))

    def key_dropout(self, seed_of: Callable[[str], int]) -> None:
        """Give every stage's dropout the key of its masks, `seed_of(name)`, in place."""
        for name, stage in self.named_children():
            for module in stage.modules():
                if isinstance(module, Dropout):
                    module.key = seed_of(name)

    def set_step(self, step: int, *, first: int = 0, stride: int = 1) -> None:
        """Choose the dropout masks of training step `step`, in place.

        The images that follow have the places first, first + stride, ... in the batch of the step:
        a process that has a share of it names those of its share.
        """
        for module in self.modules():
            if isinstance(module, Dropout):
                module.step, module.first, module.stride = step, first, stride

    def deterministic_stages(self) -> int:
        """The number of first stages without dropout: their output may be shared."""
        has_dropout = [any(isinstance(m, Dropout) for m in s.modules()) for s in self]
        return len(list(takewhile(lambda present: not present, has_dropout)))
