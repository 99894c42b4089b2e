"""A network as an ordered mapping of stage name to module: what can be cut, copied and frozen.

Shapes: B batch, C channels, H, W. A stage is one weight layer with the parameter-free operations
around it; dropout opens the stage whose input it thins, so that the output of a prefix without
fully connected stages is a function of the image alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import takewhile

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout whose mask is a function of (`key`, `step`), both set from outside before a step.

    So a mask depends neither on what else the process has drawn nor on where a run was
    interrupted. Scales by 1 / (1 - p) in training, does nothing in evaluation (Caffe's semantics).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.key = 0
        self.step = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        generator = torch.Generator(x.device).manual_seed((self.key + self.step) % 2**63)
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= self.p
        return x * kept / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Stage(nn.Sequential):
    """Named layers, at most one of them with weights, and how those weights start."""

    def __init__(self, layers: Mapping[str, nn.Module], *, weight_std: float, bias: float) -> None:
        super().__init__(OrderedDict(layers))
        self.weight_std = weight_std
        self.bias = bias

    def initialise(self, generator: torch.Generator) -> None:
        """Draw zero-mean Gaussian weights and set constant biases, in place."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.constant_(parameter, self.bias)
            else:
                nn.init.normal_(parameter, 0.0, self.weight_std, generator=generator)


class StagedNetwork(nn.Sequential):
    """Stages 1..N under their names; the last is the classifier."""

    def __init__(self, stages: Mapping[str, Stage]) -> None:
        super().__init__(OrderedDict(stages))

    @property
    def stage_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.named_children())

    def prefix(self, n: int) -> nn.Sequential:
        """Stages 1..n, sharing their weights with this network."""
        return nn.Sequential(*list(self)[:n])

    def head(self, n: int) -> nn.Sequential:
        """Stages n+1..N, sharing their weights with this network."""
        return nn.Sequential(*list(self)[n:])

    def initialise(self, seed_of: Callable[[str], int]) -> None:
        """Give every stage fresh weights, in place; `seed_of` its name seeds each on its own."""
        for name, stage in self.named_children():
            assert isinstance(stage, Stage)
            stage.initialise(torch.Generator().manual_seed(seed_of(name)))

    def key_dropout(self, seed_of: Callable[[str], int]) -> None:
        """Give the dropout of every stage its own stream of masks, in place."""
        for name, stage in self.named_children():
            for module in stage.modules():
                if isinstance(module, Dropout):
                    module.key = seed_of(name)

    def set_step(self, step: int) -> None:
        """Choose the dropout masks of training step `step`, in place."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.step = step

    def deterministic_stages(self) -> int:
        """How many of the first stages have no dropout: their output may be shared."""
        has_dropout = [any(isinstance(m, Dropout) for m in s.modules()) for s in self]
        return len(list(takewhile(lambda present: not present, has_dropout)))
