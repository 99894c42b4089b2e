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
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from transferlab.errors import UserError
from transferlab.models import calls
from transferlab.models.stages import StagedNetwork

TOLERANCE = 1e-3  # of the logits of one image, relative to the largest: rounding is below 1e-5
ADAPTIVE = ("adaptive_avg_pool2d", "adaptive_max_pool2d")
KINDS = ("flatten", "linear", *ADAPTIVE)  # the functions that may not fit a larger image
Sizes = tuple[int, int]


class Noted(NamedTuple):
    """A call of a function of KINDS for an image of P pixels: the map (h, w) that it flattens to
    (B, C h w), if it does; whether its input has no pixels, (B, C); whether it leaves a map of
    several pixels as it is."""

    name: str
    kernel: Sizes | None
    flat: bool
    whole: bool


class NoDenseForm(ValueError):
    """Why a layer has no dense form."""


class DenseNetwork:
    """The logits (B, K) of images (B, 3, H, W), H and W at least P, each the mean of a map.

    `name` is the network's in messages, `size` is P. Raises: UserError that names the stage which
    takes images of P pixels only; also if the dense network computes something else at P.
    """

    def __init__(self, network: StagedNetwork, *, name: str, size: int) -> None:
        self.network, self.name, self.size = network, name, size
        self.seen: list[Noted] = []
        parameter = next(network.parameters())
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(1, 3, size, size, generator=generator)
        image = image.to(parameter.device, parameter.dtype)
        with torch.no_grad():
            with _Observed(self.seen):
                expected = network(image)
            self._check(expected, self(image))
            self(image.repeat(1, 1, 2, 2))

    def __call__(self, images: Tensor) -> Tensor:
        x = images
        with _Converted(self.seen):
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
    """Notes the calls that a larger image would change, in their order, in `seen`."""

    def __init__(self, seen: list[Noted]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        name = calls.name_of(function)
        if name in KINDS:
            before, after = args[0].shape, result.shape
            flattened = name == "flatten" and (len(before), len(after)) == (4, 2)
            kernel = tuple(before[2:]) if flattened else None
            whole = before == after and after[2:] != (1, 1)
            self.seen.append(Noted(name, kernel, len(before) == 2, whole))
        return result


class _Converted(TorchFunctionMode):
    """Leaves maps as they are where they would be flattened, and makes fully connected layers on
    them convolutions: those whose input had no pixels when the calls were `seen`."""

    def __init__(self, seen: list[Noted]) -> None:
        super().__init__()
        self.seen = iter(seen)
        self.kernel: Sizes = (1, 1)

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = calls.name_of(function)
        if name not in KINDS:
            return function(*args, **kwargs)
        call = next(self.seen, None)
        if call is None or call.name != name:
            raise NoDenseForm("its layers depend on the size of the image")
        if call.kernel is not None:
            self.kernel = call.kernel
            return args[0]
        if name == "linear" and call.flat and args[0].dim() == 4:
            kernel, self.kernel = self.kernel, (1, 1)
            return _convolution(kernel, **calls.bound(name, args, kwargs))
        if name in ADAPTIVE and call.whole:
            return args[0]
        result = function(*args, **kwargs)
        if name in ADAPTIVE and result.shape[2:] != (1, 1):
            raise NoDenseForm(f"it pools maps of any size to {result.shape[2]}x{result.shape[3]}")
        return result


def _convolution(
    kernel: Sizes, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """A fully connected layer on maps (B, C, h, w), a value at each place of its kernel."""
    channels = input.shape[1]
    if weight.shape[1] != channels * kernel[0] * kernel[1]:
        raise NoDenseForm(f"{weight.shape[1]} inputs are not a map of {channels} channels")
    return F.conv2d(input, weight.view(-1, channels, *kernel), bias)
