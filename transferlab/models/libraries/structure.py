"""The groups of a network's parameters by the structure of its modules.

A block is a module with a forward pass of its own that is an item of an `nn.Sequential` or of
another list; what is no block is a layer. With `cuts=stage`, a block is a group, or all blocks of a
list where there are several lists of them, as in ResNet; and so is each weight layer outside of
blocks, with the normalisation of its output. With `cuts=fine`, a block is a group of its own, and
one that contains lists of blocks is divided once more.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from transferlab.models.kinds import NORMALISATION
from transferlab.models.libraries.cutting import Groups

LISTS = nn.Sequential, nn.ModuleList, nn.ModuleDict
RUNS = [kind.forward for kind in LISTS]


@dataclass(frozen=True)
class _Unit:
    """A block or layer: its path, that of the list it is in, and whether it is the first there."""

    path: str
    module: nn.Module
    within: str | None
    first: bool

    def inside(self) -> list["_Unit"]:
        """The units of a block that contains blocks, or this one."""
        repeats = any(_is_list(each) and _repeats(each) for each in self.module.modules())
        return list(_units(self.module, self.path, None)) if repeats else [self]

    @property
    def is_block(self) -> bool:
        return self.within is not None and _is_block(self.module)

    def parameters(self) -> list[str]:
        return [f"{self.path}.{name}" for name, _ in self.module.named_parameters()]


def groups(network: nn.Module) -> Groups:
    """The groups, counted in the order of the modules, of what is in blocks and layers."""
    units = list(_units(network, "", None))
    blocks = Counter(str(unit.within) for unit in units if unit.is_block)
    lists = {path for path in blocks if not any(each.startswith(f"{path}.") for each in blocks)}
    numbers = _numbers(units)
    first_of: dict[str | None, int] = {}
    if sum(blocks[path] > 1 for path in lists) > 1:
        numbers = [
            first_of.setdefault(unit.within, number) if unit.within in lists else number
            for unit, number in zip(units, numbers, strict=True)
        ]
    inner = [each for unit in units for each in unit.inside()]
    return Groups(_by_parameter(units, numbers), _by_parameter(inner, _numbers(inner)))


def _by_parameter(units: list[_Unit], numbers: list[int]) -> dict[str, int]:
    return {
        name: number
        for unit, number in zip(units, numbers, strict=True)
        for name in unit.parameters()
    }


def _units(module: nn.Module, path: str, within: str | None) -> Iterator[_Unit]:
    """The blocks and layers in `module`, in order."""
    first = True
    for name, child in module.named_children():
        if not any(True for _ in child.parameters()):
            continue
        inner = f"{path}.{name}" if path else name
        if _is_list(child):
            yield from _units(child, inner, inner)
        elif within is None and any(map(_lists_blocks, child.modules())):
            yield from _units(child, inner, None)
        else:
            yield _Unit(inner, child, within, first)
        first = False


def _numbers(units: list[_Unit]) -> list[int]:
    """The group of each unit: normalisation has that of the layer before it.

    At the head of a list it has that of the layer after it.
    """
    numbers: list[int] = []
    joins = False  # the unit before it
    for unit in units:
        norm = isinstance(unit.module, NORMALISATION)
        leads = norm and unit.first and unit.within is not None
        joins = joins or (norm and not leads)
        last = numbers[-1] if numbers else 0
        numbers.append(last if joins else last + 1)
        joins = leads
    return numbers


def _is_list(module: nn.Module) -> bool:
    """Whether it only runs its items: a plain list, or one of blocks under another name."""
    return type(module) in LISTS or (_runs_items(module) and _has_block(module))


def _runs_items(module: nn.Module) -> bool:
    return isinstance(module, LISTS) and type(module).forward in RUNS


def _lists_blocks(module: nn.Module) -> bool:
    return _is_list(module) and _has_block(module)


def _is_block(module: nn.Module) -> bool:
    weighted = any(True for each in module.children() for _ in each.parameters())
    return weighted and not _runs_items(module)


def _has_block(module: nn.Module) -> bool:
    return any(map(_is_block, module.children()))


def _repeats(module: nn.Module) -> bool:
    """Whether two of its items are blocks of the same kind."""
    kinds = [type(each) for each in module.children() if _is_block(each)]
    return len(kinds) > len(set(kinds))
