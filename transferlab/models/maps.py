"""Feature maps: what is known of a tensor between two operations, and how operations change it.

Shapes: any tensor of one image, (1, C, H, W) in a convolutional network, (1, N, C) for N tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transferlab.models import axes, calls
from transferlab.models.axes import Layout
from transferlab.models.calls import Windows
from transferlab.models.geometry import Axis, SlidingWindow, joined

Shape = tuple[int, ...]
MIXING = {"attention", "matmul", "bmm", "baddbmm", "einsum"}  # of all positions with all others


@dataclass(frozen=True)
class Map:
    """A tensor of one image, and the geometry of its rows and columns.

    `layout` is None where the axes are not known by name any more. Height and width stay known
    after a flattening, until an operation reduces them.
    """

    shape: Shape
    layout: Layout | None
    height: Axis
    width: Axis

    @property
    def channels(self) -> int:
        return self.shape[-1] if self.layout is None else axes.extent(self.layout, "C")

    @property
    def positions(self) -> Shape:
        """(height, width), or (tokens,) where positions are no grid."""
        if self.layout is None or axes.has(self.layout, "N"):
            count = 1
            for size in self.shape:
                count *= size
            return (count // self.channels,)
        return self.height.size, self.width.size

    def viewed(self, layout: Layout | None, shape: Shape) -> "Map":
        """The same values in another shape, or a slice of them."""
        if layout is None:
            return replace(self, shape=shape, layout=None)
        height, width = axes.extent(layout, "H"), axes.extent(layout, "W")
        return Map(shape, layout, replace(self.height, size=height),
                   replace(self.width, size=width))  # fmt: skip


def image(shape: Shape) -> Map:
    return Map(shape, axes.named(axes.IMAGE, shape), Axis(shape[2]), Axis(shape[3]))


def view(x: Map, name: str, arguments: calls.Arguments, shape: Shape) -> Map:
    """The map after a view, of the function `name` of `calls.VIEWS` or `PERMUTATIONS`."""
    if x.layout is None:
        return x.viewed(None, shape)
    if name not in calls.PERMUTATIONS:
        return x.viewed(axes.viewed(x.layout, shape), shape)
    rank = len(shape)
    if name == "permute":
        order = tuple(place % rank for place in arguments["dims"])
    else:
        places = list(range(rank))
        first, second = (arguments.get(f"dim{i}", i) for i in (0, 1))
        places[first], places[second] = places[second], places[first]
        order = tuple(places)
    return x.viewed(tuple(x.layout[place] for place in order), shape)


def output(
    name: str, arguments: calls.Arguments, inputs: Sequence[Map], shape: Shape,
    windows: Windows | None,
) -> tuple[Map, Windows | None]:  # fmt: skip
    """The output of a function, and its windows where it is one operation with windows.

    A fully connected layer is a convolution with the map as its kernel, global pooling a pool with
    the map as its window.
    """
    x = inputs[0]
    if name == "linear":
        return _connected(x, shape)
    if name in ("mean", "amax"):
        return _reduced(x, shape)
    if windows is not None:
        axes_in = zip((x.height, x.width), x.shape[-2:], windows, strict=True)
        height, width = (
            (axis if axis.size == size else Axis(size, None, None)).through(window)
            for axis, size, window in axes_in  # tokens that were made a map have no geometry
        )
        assert shape[-2:] == (height.size, width.size), (name, shape, height, width)
        return Map(shape, axes.named(axes.IMAGE, shape), height, width), windows
    if name == "pad" and x.layout == axes.named(axes.IMAGE, x.shape):
        layout = axes.named(axes.IMAGE, shape)
        return x.viewed(layout, shape), None
    if name in ("conv2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "interpolate"):
        if len(shape) == 4:
            return Map(shape, axes.named(axes.IMAGE, shape), Axis(shape[2], None, None),
                       Axis(shape[3], None, None)), None  # fmt: skip
    return _joined(calls.NAMES.get(name, name), arguments, inputs, shape), None


def _connected(x: Map, shape: Shape) -> tuple[Map, Windows]:
    """A linear layer mixes what its last dimension is made of."""
    point = SlidingWindow(1)
    if x.layout is None:
        return replace(x, shape=shape), (point, point)
    mixed = {factor.axis for factor in x.layout[-1]}
    windows = (
        SlidingWindow(x.height.size) if "H" in mixed else point,
        SlidingWindow(x.width.size) if "W" in mixed else point,
    )
    last = "C" if "C" in mixed or len(x.layout) == 2 else "N"
    layout = (*x.layout[:-1], (axes.Factor(last, shape[-1]),))
    height, width = (axis.through(w) for axis, w in zip((x.height, x.width), windows, strict=True))
    return Map(shape, layout, height, width), windows


def _reduced(x: Map, shape: Shape) -> tuple[Map, Windows | None]:
    """The mean or maximum over dimensions; over all rows and columns it is global pooling."""
    if x.layout is None:
        return x.viewed(None, shape), None
    kept = len(shape) == len(x.shape)
    layout = (
        tuple(d if n == m else () for d, n, m in zip(x.layout, shape, x.shape, strict=True))
        if kept
        else axes.viewed(tuple(d for d in x.layout if d[:1] and d[0].axis in "BC"), shape)
    )
    if layout is None:
        return x.viewed(None, shape), None
    after = x.viewed(layout, shape)
    if (x.height.size, x.width.size) == (after.height.size, after.width.size):
        return after, None
    windows = SlidingWindow(x.height.size), SlidingWindow(x.width.size)
    height, width = (axis.through(w) for axis, w in zip((x.height, x.width), windows, strict=True))
    return replace(after, height=height, width=width), windows


def _joined(kind: str, arguments: calls.Arguments, inputs: Sequence[Map], shape: Shape) -> Map:
    """What keeps the map of its input: activation, normalisation, a sum, a concatenation."""
    alike = next((x for x in inputs if x.shape == shape), None)
    layout = None if alike is None else alike.layout
    if kind == "concat":
        layout = _concatenated(inputs[0], int(arguments.get("dim", 0)), shape)
    base = alike or inputs[0]
    if kind in MIXING and len(inputs) > 1 or kind == "attention":
        return Map(shape, layout, replace(base.height, jump=None, field=None),
                   replace(base.width, jump=None, field=None))  # fmt: skip
    height = joined(base.height.size, [x.height for x in inputs])
    width = joined(base.width.size, [x.width for x in inputs])
    return Map(shape, layout, height, width)


def _concatenated(x: Map, dim: int, shape: Shape) -> Layout | None:
    if x.layout is None:
        return None
    layout = list(x.layout)
    names = {factor.axis for factor in layout[dim] if factor.size > 1}
    layout[dim] = (axes.Factor("C" if names <= {"C"} else "N", shape[dim]),)
    return tuple(layout)


def text(sizes: Sequence[int | str | None]) -> str:
    """`13` along both axes, or height x width: `1x3`; empty where unknown."""
    if None in sizes:
        return ""
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))
