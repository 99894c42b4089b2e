"""A network applied densely: its fully connected layers are convolutions over a whole image.

A layer that is fully connected to a map of h x w pixels is a convolution with a kernel of h x w;
those after it have kernels of 1 x 1. On a larger image the network then has a map of logits, of
which the mean is taken over its pixels; a network whose last maps are averaged has one already.
Source: Sermanet et al. 2013, arXiv:1312.6229, Sec. 3.5; Simonyan, Zisserman 2014, arXiv:1409.1556,
Sec. 3.2. The layers are found where torch's functions are called, whichever module calls them, so
that networks of a library are treated like ours.

Shapes: B images, C channels, H, W pixels of an image, P of the side that the network was built for,
h, w of a map, K outputs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from transferlab.errors import UserError
from transferlab.models import calls
from transferlab.models.stages import StagedNetwork

TOLERANCE = 1e-3  # of the logits of one image, relative to the largest: rounding is below 1e-5
Sizes = tuple[int, int]


class NoDenseForm(ValueError):
    """Why a layer has no dense form."""


class DenseNetwork:
    """The logits (B, K) of images (B, 3, H, W), H and W at least P, each the mean of a map.

    `name` is the network's in messages, `size` is P. Raises: UserError that names the stage which
    takes images of P pixels only; also if the dense network computes something else at P.
    """

    def __init__(self, network: StagedNetwork, *, name: str, size: int) -> None:
        self.network, self.name, self.size = network, name, size
        self.maps: list[Sizes] = []
        self.pools: list[bool] = []
        parameter = next(network.parameters())
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(1, 3, size, size, generator=generator)
        image = image.to(parameter.device, parameter.dtype)
        with torch.no_grad():
            with _Observed(self.maps, self.pools):
                expected = network(image)
            self._check(expected, self(image))
            self(image.repeat(1, 1, 2, 2))

    def __call__(self, images: Tensor) -> Tensor:
        x = images
        with _Converted(self.maps, self.pools):
            for stage_name, stage in self.network.stages.items():
                with self._named(stage_name):
                    x = stage(x)
        if x.dim() == 4:
            x = x.mean(dim=(2, 3))
        if x.dim() != 2:
            raise self._refusal(self.network.stage_names[-1], f"its output is {tuple(x.shape)}")
        return x

    @contextmanager
    def _named(self, stage: str) -> Iterator[None]:
        """Errors of torch, and asserts of a library, that are of the size of the image."""
        try:
            yield
        except (NoDenseForm, AssertionError, ValueError, IndexError) as error:
            raise self._refusal(stage, error) from error
        except RuntimeError as error:
            if "memory" in str(error):
                raise
            raise self._refusal(stage, error) from error

    def _refusal(self, stage: str, reason: object) -> UserError:
        line = (str(reason).strip().splitlines() or ["an assertion"])[0]
        return UserError(
            f"--dense cannot be asked of {self.name}: its stage {stage} takes only images of "
            f"{self.size} pixels ({line}); use --crops"
        )

    def _check(self, expected: Tensor, dense: Tensor) -> None:
        largest = float(expected.abs().max())
        if dense.shape != expected.shape:
            raise self._refusal(self.network.stage_names[-1], f"its output is {dense.shape}")
        if float((dense - expected).abs().max()) > TOLERANCE * max(largest, 1.0):
            reason = f"other logits at {self.size} pixels"
            raise self._refusal(self.network.stage_names[-1], reason)


class _Observed(TorchFunctionMode):
    """Notes, in the order of the calls, the map (h, w) that each flattening takes, and of each
    adaptive pooling whether the map has the size that it asks for."""

    def __init__(self, maps: list[Sizes], pools: list[bool]) -> None:
        super().__init__()
        self.maps, self.pools = maps, pools

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        name = calls.name_of(function)
        if name == "flatten" and args[0].dim() == 4:
            self.maps.append(tuple(args[0].shape[2:]))
        elif name in ADAPTIVE:
            self.pools.append(result.shape == args[0].shape)
        return result


class _Converted(TorchFunctionMode):
    """Leaves maps as they are where they would be flattened, and makes fully connected layers on
    them convolutions; what `_Observed` noted is read in the same order."""

    def __init__(self, maps: list[Sizes], pools: list[bool]) -> None:
        super().__init__()
        self.maps, self.pools = iter(maps), iter(pools)
        self.kernel: Sizes = (1, 1)

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = calls.name_of(function)
        if name == "flatten" and args[0].dim() == 4:
            self.kernel = next(self.maps)
            return args[0]
        if name in ADAPTIVE:
            return self._pooled(function, args, kwargs)
        if name == "linear" and args[0].dim() == 4:
            kernel, self.kernel = self.kernel, (1, 1)
            return _convolution(kernel, **calls.bound(name, args, kwargs))
        return function(*args, **kwargs)

    def _pooled(self, function: Any, args: Any, kwargs: Any) -> Tensor:
        whole = next(self.pools)
        output = calls.bound(calls.name_of(function), args, kwargs)["output_size"]
        if {*(output if isinstance(output, tuple | list) else (output,))} == {1}:
            return function(*args, **kwargs)  # type: ignore[no-any-return]
        if not whole:
            raise NoDenseForm(f"it pools maps of any size to {output}")
        return args[0]  # type: ignore[no-any-return]


ADAPTIVE = ("adaptive_avg_pool2d", "adaptive_max_pool2d")


def _convolution(
    kernel: Sizes, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """A fully connected layer on maps (B, C, h, w), a value at each place of its kernel."""
    channels = input.shape[1]
    if weight.shape[1] != channels * kernel[0] * kernel[1]:
        raise NoDenseForm(f"{weight.shape[1]} inputs are not a map of {channels} channels")
    if min(n - k for n, k in zip(input.shape[2:], kernel, strict=True)) < 0:
        raise NoDenseForm(f"its map is smaller than {kernel[0]}x{kernel[1]}")
    return F.conv2d(input, weight.view(-1, channels, *kernel), bias)
