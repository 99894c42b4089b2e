"""Initial values: a rule for every module of a stage that owns parameters, by the module's kind.

A rule draws from the generator of its stage, in place. Normalisation layers start as the identity
under every rule: gamma 1, beta 0, statistics of mean 0 and variance 1. `fan-in` is the number of
inputs of an output unit and `fan-out` the number of outputs that an input unit enters, both with
the taps of a kernel, within one group.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from transferlab.errors import UserError
from transferlab.models.kinds import LINEAR, NORMALISATION

Initial = Callable[[nn.Module, torch.Generator], None]
Fan = Literal["in", "out"]
Draw = Callable[[Tensor, int, int, torch.Generator], object]
TRUNCATED = 2.0  # TensorFlow's truncated normal redraws beyond so many deviations


def gaussian(std: float, bias: float = 0.0) -> Initial:
    """Weights from N(0, std ** 2), biases `bias`."""
    return partial(_linear, partial(_gaussian, std), bias)


def he(fan: Fan = "in", bias: float = 0.0) -> Initial:
    """Weights from N(0, 2 / fan). Source: He et al. 2015, arXiv:1502.01852, Eqs. 10 and 14."""
    return partial(_linear, partial(_he, fan), bias)


def xavier(bias: float = 0.0) -> Initial:
    """Uniform weights of variance 1 / fan-in: what Caffe calls xavier. Source: filler.hpp."""
    return partial(_linear, _xavier, bias)


def glorot(bias: float = 0.0) -> Initial:
    """Uniform weights of variance 2 / (fan-in + fan-out). Source: Glorot, Bengio 2010, Eq. 16."""
    return partial(_linear, _glorot, bias)


def torch7(bias: float = 0.0) -> Initial:
    """Uniform weights in 1 / sqrt(fan-in) either way: Torch's. Source: torch/nn, Linear.lua."""
    return partial(_linear, _torch7, bias)


def truncated(std: float, bias: float = 0.0) -> Initial:
    """Weights from N(0, std ** 2) cut at two deviations, as in TensorFlow."""
    return partial(_linear, partial(_truncated, std), bias)


def truncated_he(bias: float = 0.0) -> Initial:
    """Weights of variance 2 / fan-in, by `truncated` of sqrt(1.3 * 2 / fan-in).

    The 1.3 makes up for what the cut takes, to half a percent. Source: google-research/tf-slim,
    layers/initializers.py, variance_scaling_initializer, the default of its networks.
    """
    return partial(_linear, _truncated_he, bias)


def by_kind(rules: Mapping[type[nn.Module], Initial]) -> Initial:
    """The rule of the first kind in `rules` that a module is of; normalisation has its own."""
    return partial(_by_kind, dict(rules))


# --- rules: functions of the module's level, since a network is pickled for several processes ---


def _by_kind(
    rules: Mapping[type[nn.Module], Initial], module: nn.Module, generator: torch.Generator
) -> None:
    if isinstance(module, NORMALISATION):
        return _normalisation(module)
    for kind, rule in rules.items():
        if isinstance(module, kind):
            return rule(module, generator)
    raise _unknown(module)


def _linear(draw: Draw, bias: float, module: nn.Module, generator: torch.Generator) -> None:
    """Draws the weights of convolutions and fully connected layers."""
    if isinstance(module, NORMALISATION):
        return _normalisation(module)
    if not isinstance(module, LINEAR):
        raise _unknown(module)
    with torch.no_grad():
        draw(module.weight, *_fans(module), generator)
        if module.bias is not None:
            module.bias.fill_(bias)
    return None


def _gaussian(std: float, weight: Tensor, fan_in: int, fan_out: int, g: torch.Generator) -> None:
    weight.normal_(0.0, std, generator=g)


def _he(fan: Fan, weight: Tensor, fan_in: int, fan_out: int, g: torch.Generator) -> None:
    weight.normal_(0.0, math.sqrt(2 / (fan_in if fan == "in" else fan_out)), generator=g)


def _xavier(weight: Tensor, fan_in: int, fan_out: int, g: torch.Generator) -> None:
    _uniform(weight, 1 / fan_in, g)


def _glorot(weight: Tensor, fan_in: int, fan_out: int, g: torch.Generator) -> None:
    _uniform(weight, 2 / (fan_in + fan_out), g)


def _torch7(weight: Tensor, fan_in: int, fan_out: int, g: torch.Generator) -> None:
    _uniform(weight, 1 / (3 * fan_in), g)


def _truncated(std: float, weight: Tensor, fan_in: int, fan_out: int, g: torch.Generator) -> None:
    limit = TRUNCATED * std
    nn.init.trunc_normal_(weight, 0.0, std, -limit, limit, generator=g)


def _truncated_he(weight: Tensor, fan_in: int, fan_out: int, g: torch.Generator) -> None:
    _truncated(math.sqrt(1.3 * 2 / fan_in), weight, fan_in, fan_out, g)


def _normalisation(module: nn.Module) -> None:
    """The identity: torch's own reset, which draws nothing."""
    module.reset_parameters()  # type: ignore[operator]


def _fans(module: nn.Module) -> tuple[int, int]:
    """Fan-in and fan-out of a convolution or a fully connected layer."""
    weight, groups = module.weight, getattr(module, "groups", 1)
    assert isinstance(weight, Tensor)
    taps = math.prod(weight.shape[2:])
    fan_in, fan_out = weight.shape[1] * taps, weight.shape[0] // groups * taps
    transposed = getattr(module, "transposed", False)
    return (fan_out, fan_in) if transposed else (fan_in, fan_out)


def _uniform(weight: Tensor, variance: float, generator: torch.Generator) -> None:
    limit = math.sqrt(3 * variance)
    weight.uniform_(-limit, limit, generator=generator)


def _unknown(module: nn.Module) -> UserError:
    return UserError(
        f"{type(module).__name__} has parameters, and the rule of initial values of its stage "
        "knows convolutions, fully connected layers and normalisation: add its kind with "
        "initial.by_kind"
    )
