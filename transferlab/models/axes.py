"""Which axis of a tensor is which: channels C, height H, width W, tokens N, batch B.

An axis keeps its name through views: `flatten` merges C, H and W into one dimension, a transposed
tensor has them in another order, a window partition splits them into factors. A layout has for
every dimension of a tensor the factors, outermost first, that it is made of.
"""

import math
from dataclasses import dataclass

IMAGE = "BCHW"


@dataclass(frozen=True)
class Factor:
    """A part of the axis `axis`, or all of it."""

    axis: str
    size: int


Dimension = tuple[Factor, ...]
Layout = tuple[Dimension, ...]


def named(axes: str, shape: tuple[int, ...]) -> Layout:
    """The layout of a tensor whose dimensions are these axes."""
    return tuple((Factor(axis, size),) for axis, size in zip(axes, shape, strict=True))


def extent(layout: Layout, axis: str) -> int:
    """The size of an axis, 1 if the tensor lacks it."""
    return math.prod(f.size for dimension in layout for f in dimension if f.axis == axis)


def has(layout: Layout, axis: str) -> bool:
    return any(f.axis == axis for dimension in layout for f in dimension)


def viewed(layout: Layout, shape: tuple[int, ...]) -> Layout | None:
    """The layout of a view in `shape`; None if the names do not survive it.

    A view with as many elements merges and splits neighbouring dimensions; one with fewer or more
    is a slice, a repetition, or one index of a dimension.
    """
    before = tuple(math.prod(f.size for f in dimension) for dimension in layout)
    if math.prod(before) == math.prod(shape):
        return _reshaped(layout, shape)
    if len(before) == len(shape):
        return _resized(layout, before, shape)
    for place in range(len(before)):
        if before[:place] + before[place + 1 :] == shape:
            return layout[:place] + layout[place + 1 :]
    return None


def _reshaped(layout: Layout, shape: tuple[int, ...]) -> Layout | None:
    factors = [f for dimension in layout for f in dimension]
    dimensions: list[Dimension] = []
    for size in shape:
        dimension: list[Factor] = []
        rest = size
        if size == 1 and factors and factors[0].size == 1:
            dimension.append(factors.pop(0))
        while rest > 1 and factors:
            factor = factors.pop(0)
            if factor.size > rest:
                if factor.size % rest:
                    return None
                factors.insert(0, Factor(factor.axis, factor.size // rest))
                factor = Factor(factor.axis, rest)
            if rest % factor.size:
                return None
            rest //= factor.size
            dimension.append(factor)
        if rest > 1:
            return None
        dimensions.append(tuple(dimension))
    return tuple(dimensions)


def _resized(layout: Layout, before: tuple[int, ...], shape: tuple[int, ...]) -> Layout | None:
    """Slices and repetitions, each of a dimension that is of one axis."""
    dimensions = []
    for dimension, old, new in zip(layout, before, shape, strict=True):
        axes = {f.axis for f in dimension if f.size > 1} or {f.axis for f in dimension[:1]}
        if old == new:
            dimensions.append(dimension)
        elif len(axes) == 1:
            dimensions.append((Factor(axes.pop(), new),))
        else:
            return None
    return tuple(dimensions)
