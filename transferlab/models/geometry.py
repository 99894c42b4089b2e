"""The geometry of a map: its size, its jump and its receptive field, through one operation.

Along one axis, in pixels. The size n is that of the map (not a number of channels), the jump j the
distance between neighbouring units seen from the input, the receptive field r the extent of the
input that a unit sees, padding included. An image has j = r = 1.
Source: "Network Structures" (X. Wang, CUHK, 2019); Araujo, Norris, Sim, Distill 2019. No torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


def n_out(n_in: int, *, kernel: int, stride: int, pad: int = 0, ceil: bool = False) -> int:
    """floor((n_in + 2 pad - kernel) / stride) + 1, the size of the output; below 1: it vanishes.

    `ceil` rounds up, as Caffe's pooling does, unless the last window would begin in the padding
    after the map.
    """
    span = n_in + 2 * pad - kernel
    if not ceil:
        return span // stride + 1
    size = math.ceil(span / stride) + 1
    return size - 1 if (size - 1) * stride >= n_in + pad else size


def j_out(j_in: int, *, stride: int) -> int:
    """j_in stride, the jump of the output."""
    return j_in * stride


def r_out(r_in: int, j_in: int, *, kernel: int) -> int:
    """r_in + (kernel - 1) j_in, the receptive field of the output."""
    return r_in + (kernel - 1) * j_in


@dataclass(frozen=True)
class SlidingWindow:
    """What slides along one axis. `before` and `after`: the padding at either end."""

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    ceil: bool = False

    @property
    def extent(self) -> int:
        """The pixels from the first to the last tap."""
        return self.dilation * (self.kernel - 1) + 1


@dataclass(frozen=True)
class Axis:
    """One axis of a map. Jump and field are None where no window defines them, as after attention
    or interpolation."""

    size: int
    jump: int | None = 1
    field: int | None = 1

    def through(self, window: SlidingWindow) -> "Axis":
        """The axis of the output of a window; its size is below 1 if the map vanishes."""
        pad = min(window.before, window.after)
        extra = window.before + window.after - 2 * pad  # of the longer end
        size = n_out(
            self.size + extra, kernel=window.extent, stride=window.stride, pad=pad,
            ceil=window.ceil,
        )  # fmt: skip
        if self.jump is None or self.field is None:
            return Axis(size, None, None)
        field = r_out(self.field, self.jump, kernel=window.extent)
        return Axis(size, j_out(self.jump, stride=window.stride), field)


def joined(size: int, axes: Sequence[Axis]) -> Axis:
    """The axis of what joins maps, a concatenation or a sum: the largest receptive field.

    A map of another size, which is broadcast, weights channels: it is not counted.
    """
    axes = [axis for axis in axes if axis.size == size] or axes
    fields = [axis.field for axis in axes if axis.field is not None]
    if len(fields) < len(axes):
        return Axis(size, None, None)
    return Axis(size, axes[0].jump, max(fields))
