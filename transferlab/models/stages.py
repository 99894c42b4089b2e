"""A network as an ordered mapping of stage name to module, which can be cut, copied and frozen.

A stage is any module from one tensor to one tensor: a weight layer, an Inception module, a residual
block, with the parameter-free operations up to the next. Dropout is the first layer of the stage
whose input it drops, so that the output of a prefix of convolutions is a function of the image
alone. Shapes: B batch, K outputs, P pixels a side.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import torch
from torch import Tensor, nn

from transferlab.models import facts
from transferlab.models.dropout import Masked
from transferlab.models.initial import Initial

Cuts = Literal["stage", "fine"]


class Stage(nn.Sequential):
    """Named modules in order, and the rule of their initial values."""

    def __init__(self, layers: Mapping[str, nn.Module], initial: Initial) -> None:
        super().__init__(OrderedDict(layers))
        self.initial = initial

    def initialise(self, generator: torch.Generator) -> None:
        """Set the values of all parameters and statistics by the rule, in place."""
        for module in self.modules():
            if any(True for _ in module.parameters(recurse=False)) or _has_buffers(module):
                self.initial(module, generator)


class Group(nn.Sequential):
    """Stages in order that are one stage, but with `cuts=fine`, which cuts between them too."""

    def __init__(self, stages: Mapping[str, Stage]) -> None:
        super().__init__(OrderedDict(stages))


@dataclass(frozen=True)
class Auxiliary:
    """An auxiliary classifier: `head` computes logits (B, K) from the output of the stage `tap`.

    `weight` is that of its loss, beside 1 of the network's. Source: Szegedy et al. 2014, Sec. 5.
    """

    head: Stage
    tap: str
    weight: float


class StagedNetwork(nn.Module):
    """Stages 1..N under their names, from images (B, 3, P, P) to logits (B, K).

    The last stage is the classifier. With `cuts` = `fine` the stages inside the groups count, as
    `block1.conv1_2`; names of parameters are the same. Weights are undefined until `initialise` or
    a `state_dict` is loaded.
    """

    def __init__(
        self,
        stages: Mapping[str, Stage | Group],
        *,
        auxiliary: Mapping[str, Auxiliary] | None = None,
        cuts: Cuts = "stage",
    ) -> None:
        super().__init__()
        for name, stage in stages.items():
            self.add_module(name, stage)
        self.cuts = cuts
        self.tops = tuple(stages)
        self.taps: dict[str, tuple[str, float]] = {}
        if auxiliary:
            self.auxiliary = nn.ModuleDict({name: each.head for name, each in auxiliary.items()})
            self.taps = {name: (each.tap, each.weight) for name, each in auxiliary.items()}

    @property
    def stages(self) -> dict[str, nn.Module]:
        """The stages by name, in order."""
        tops = {name: self.get_submodule(name) for name in self.tops}
        return tops if self.cuts == "stage" else dict(_leaves(tops))

    @property
    def stage_names(self) -> tuple[str, ...]:
        return tuple(self.stages)

    def fine_names(self) -> tuple[str, ...]:
        """The names of the stages as with `cuts=fine`."""
        return tuple(name for name, _ in _leaves({n: self.get_submodule(n) for n in self.tops}))

    def plain_names(self) -> dict[str, str]:
        """Name of a tensor here -> its name in the network that people know it by: the same,
        unless this network is a library's in stages."""
        return {name: name for name in self.state_dict()}

    def unused_names(self) -> frozenset[str]:
        """Tensors that files of that network have, and no stage needs."""
        return frozenset()

    def __len__(self) -> int:
        return len(self.stages)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.stages.values())

    def __getitem__(self, index: int) -> nn.Module:
        return list(self)[index]

    def forward(self, x: Tensor) -> Tensor:
        for stage in self:
            x = stage(x)
        return x

    def prefix(self, n: int) -> nn.Sequential:
        """Stages 1..n, from images to features; the weights are shared with this network."""
        return nn.Sequential(*list(self)[:n])

    def head(self, n: int) -> nn.Sequential:
        """Stages n+1..N, from the features of `prefix(n)` to logits; the weights are shared."""
        return nn.Sequential(*list(self)[n:])

    def auxiliary_at(self, n: int) -> list[tuple[nn.Module, float]]:
        """The auxiliary heads on the output of stage n, with the weights of their losses."""
        return [
            (self.auxiliary[name], weight)
            for name, (tap, weight) in self.taps.items()
            if facts.stage_number(self.stage_names, tap) == n
        ]

    def initialise(self, seed_of: Callable[[str], int]) -> None:
        """Set initial values, in place; `seed_of(name)` is the seed of that stage.

        The names are those of `cuts=fine`, whichever cuts the network has, so that both have the
        same values; of an auxiliary head `auxiliary.NAME`.
        """
        for name, stage in self._parts():
            stage.initialise(torch.Generator().manual_seed(seed_of(name)))

    def key_dropout(self, seed_of: Callable[[str], int]) -> None:
        """Give every module with a random mask its key, in place: `seed_of(name)` of its stage.

        A second one in a stage has that of `NAME/1`, a third that of `NAME/2`.
        """
        for name, stage in self._parts():
            for index, module in enumerate(m for m in stage.modules() if isinstance(m, Masked)):
                module.key = seed_of(f"{name}/{index}" if index else name)

    def set_step(self, step: int, *, first: int = 0, stride: int = 1) -> None:
        """Choose the masks of training step `step`, in place.

        The images that follow have the places first, first + stride, ... in the batch of the step:
        a process that has a share of it names those of its share.
        """
        for module in self.modules():
            if isinstance(module, Masked):
                module.step, module.first, module.stride = step, first, stride

    def deterministic_stages(self) -> int:
        """The number of first stages without random masks: their output may be shared."""
        has_masks = [any(isinstance(m, Masked) for m in s.modules()) for s in self]
        return len(list(takewhile(lambda present: not present, has_masks)))

    def _parts(self) -> list[tuple[str, Stage]]:
        """The stages as with `cuts=fine`, then the auxiliary heads, by name."""
        parts = list(_leaves({name: self.get_submodule(name) for name in self.tops}))
        heads = getattr(self, "auxiliary", None)
        parts += [(f"auxiliary.{name}", head) for name, head in (heads.items() if heads else ())]
        assert all(isinstance(stage, Stage) for _, stage in parts)
        return parts  # type: ignore[return-value]


def _leaves(tops: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    for name, stage in tops.items():
        if isinstance(stage, Group):
            yield from ((f"{name}.{inner}", module) for inner, module in stage.named_children())
        else:
            yield name, stage


def _has_buffers(module: nn.Module) -> bool:
    return any(True for _ in module.buffers(recurse=False))
