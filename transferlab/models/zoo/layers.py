"""What the networks before batch normalisation share: stages of one weight layer each, and the map
that fully connected layers are given.

Shapes: B batch, C channels, P pixels a side; a map is (B, C, P, P).
"""

from collections.abc import Mapping

from torch import nn

from transferlab.errors import UserError
from transferlab.models.dropout import Dropout
from transferlab.models.geometry import n_out
from transferlab.models.initial import Initial
from transferlab.models.normalisation import LocalResponseNorm
from transferlab.models.stages import Stage

DROPOUT = 0.5  # Krizhevsky et al. 2012, Sec. 4.2, and all that follow it here


def convolution(
    conv: nn.Module, initial: Initial, *, dropout: float = 0.0, **after: nn.Module
) -> Stage:
    """A convolution, its ReLU and what follows them, in order; dropout is of its input."""
    before = {"dropout": Dropout(dropout)} if dropout else {}
    return Stage({**before, "conv": conv, "relu": nn.ReLU(), **after}, initial)


def fully_connected(
    widths: Mapping[str, int],
    *,
    inputs: int,
    initial: Initial,
    last: Initial,
    dropout: float = DROPOUT,
) -> dict[str, Stage]:
    """Fully connected layers by name and width, on a map of `inputs` values (B, C, P, P).

    The first flattens it: channel, row, column. The others drop part of their input. The last one,
    the classifier, has no ReLU, and its initial values are those of `last`.
    """
    stages: dict[str, Stage] = {}
    for name, width in widths.items():
        layers: dict[str, nn.Module] = {"dropout": Dropout(dropout)}
        if not stages:
            layers = {"flatten": nn.Flatten()}
        layers["fc"] = nn.Linear(inputs, width)
        hidden = len(stages) + 1 < len(widths)
        if hidden:
            layers["relu"] = nn.ReLU()
        stages[name] = Stage(layers, initial if hidden else last)
        inputs = width
    return stages


def response_norm() -> LocalResponseNorm:
    """LRN over 5 channels with k = 2, beta = 0.75 and alpha = 1e-4 for each of them.

    The module divides alpha by the number of channels, the paper does not.
    Source: Krizhevsky et al. 2012, Sec. 3.3.
    """
    return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def map_side(stages: Mapping[str, nn.Module], image_size: int) -> int:
    """The pixels a side of the map that convolutions and pools in a row make of an image.

    Raises: UserError that names the stage in which nothing is left of it.
    """
    pixels = image_size
    for name, stage in stages.items():
        for layer in stage.modules():
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
                pixels = _output(layer, pixels)
            if pixels < 1:
                raise UserError(
                    f"data.crop={image_size} is too small: nothing is left of the image in {name}"
                )
    return pixels


def _output(layer: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d, pixels: int) -> int:
    """Of square kernels."""
    kernel, stride, pad = (
        value[0] if isinstance(value, tuple) else value
        for value in (layer.kernel_size, layer.stride, layer.padding)
    )
    assert isinstance(kernel, int) and isinstance(stride, int) and isinstance(pad, int)
    ceil = getattr(layer, "ceil_mode", False)
    return n_out(pixels, kernel=kernel, stride=stride, pad=pad, ceil=ceil)
